"""What the screen shows, as the value that every export is made from."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from explorer.exports.outcome import Files, Number, Outcome, Point
from explorer.exports.steps import OUT
from explorer.recipe import Recipe
from explorer.render.cards import UNKNOWN, cards, size_cells
from explorer.render.explain import file_sentences
from explorer.render.insights import insights
from explorer.render.labels import NUMBERS
from explorer.render.text import format_shape
from explorer.render.words import DEFINITIONS, describe
from explorer.runs import Original, View
from explorer.ui import insight_notes, sizes
from explorer.widget.achieved import achieved_text
from explorer.widget.tradeoff import tried
from explorer.workspace.sources import SAMPLES, Source
from explorer.workspace.workspace import Workspace

PLAIN_NAME = re.compile(r"\w[\w .()+-]*")


def outcome_of(workspace: Workspace) -> Outcome:
    """The finished setting that is on the screen."""
    view, source = workspace.view, workspace.source
    run, original = view.run, view.original
    assert source is not None
    assert run is not None
    assert run.plan is not None
    assert run.artifact is not None
    chart = tried(original, workspace.runs, busy=False)
    achieved = achieved_text(view)
    return Outcome(
        title=source.title,
        stem=source.stem,
        setting=f"{describe(run.recipe)}{f' ({achieved})' if achieved else ''}",
        day=datetime.now(UTC).date().isoformat(),
        recipe=run.recipe,
        files=files_of(source),
        original=original.report(source.title),
        compressed=run.report(),
        plan=run.plan,
        numbers=(*_headlines(view), *_sizes(view)),
        points=tuple(_point(point, run.recipe) for point in chart["points"]),
        unit=chart["unit"],
        falls=chart["falls"],
        metric=source.metric,
        remarks=_remarks(view),
        advice=tuple(file_sentences(run.layers, run.artifact.weight_only)),
        clock=sizes.latency_sentence(run.latency) if run.latency is not None else "",
        host=original.host,
        inputs=tuple(_inputs(original)),
        input_sizes=source.sizes,
        is_weight_only=run.artifact.weight_only,
        is_made_up=source.made_up,
        not_reconstructed=run.artifact.not_reconstructed,
    )


def _remarks(view: View) -> tuple[str, ...]:
    remarks = [each.sentence for each in insights(view)]
    return tuple(remarks or [insight_notes.INCOMPLETE] * insight_notes.is_incomplete(view))


def files_of(source: Source) -> Files:
    """How a command names the files: as their owner does, where any system takes that name.

    What a command writes must have another name than what it reads.
    """
    model, data, calibration = source.files
    if is_own(source) and (model == OUT or not PLAIN_NAME.fullmatch(model)):
        model = f"{source.stem}_original.onnx"
    return Files(model, data, calibration)


def is_own(source: Source) -> bool:
    """False for a model that comes with the explorer, whatever samples it is scored on."""
    return not source.model.is_relative_to(SAMPLES)


def _headlines(view: View) -> Iterator[Number]:
    for card in cards(view, busy=False):
        amount, before = card.amount, card.full or card.before
        yield Number(
            title=card.title,
            meaning=card.definition,
            value=card.value,
            original=card.original,
            difference="" if card.difference == UNKNOWN else card.difference,
            interval="" if card.interval == UNKNOWN else card.interval,
            kind=card.kind,
            tone=card.tone,
            note=card.note,
            share=amount / before if amount is not None and before else None,
        )


def _sizes(view: View) -> Iterator[Number]:
    """Those that have no card."""
    cells = size_cells(sizes.SIZES, view.original.profile, view.profile)
    for key, (original, value, difference) in cells.items():
        if value == UNKNOWN:
            continue
        yield Number(
            title=NUMBERS[key],
            meaning=DEFINITIONS[key],
            value=value,
            original=original,
            difference="" if difference == UNKNOWN else difference,
            kind="computed",
            is_headline=False,
        )


def _point(point: Mapping[str, Any], recipe: Recipe) -> Point:
    setting = Recipe.from_json(json.dumps(point["recipe"]))
    return Point(
        label=point["label"],
        costs=point["costs"],
        quality=point["quality"],
        low=point["low"],
        high=point["high"],
        text=point["text"],
        is_reliable=point["reliable"],
        is_original=point["original"],
        is_current=setting == recipe,
    )


def _inputs(original: Original) -> Iterator[tuple[str, str, str]]:
    """Name, type and shape; with the sizes that were taken, where the file leaves some open."""
    assert original.description is not None
    assert original.profile is not None
    for spec in original.description.inputs:
        shape, sizes = format_shape(spec.shape), original.profile.input_sizes.get(spec.name)
        if sizes is not None and sizes != spec.shape:
            shape = f"{shape}, here {format_shape(sizes)}"
        yield spec.name, spec.dtype, shape
