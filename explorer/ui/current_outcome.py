"""What the screen shows, as the value that every export is made from."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from explorer.exports.outcome import Files, Number, Outcome, Point
from explorer.exports.steps import OUT
from explorer.recipe import Recipe
from explorer.render.explain import file_sentences
from explorer.render.labels import NUMBERS
from explorer.render.text import format_shape
from explorer.report import Latency, Plan
from explorer.ui import results, sizes
from explorer.ui.session import Session
from explorer.ui.sources import SAMPLES, Source
from explorer.widget.achieved import achieved_text
from explorer.widget.cards import UNKNOWN, cards, relative
from explorer.widget.tradeoff import tried
from explorer.widget.trials import View, report_of
from explorer.widget.words import DEFINITIONS, describe

LATENCY = (  # the page's own definition points to another place of the page
    "Time of one inference: the fastest of many runs with one thread, original and compressed "
    "interleaved. The interval is that of the latency ratio."
)
PLAIN_NAME = re.compile(r"\w[\w .()+-]*")


def outcome_of(session: Session) -> Outcome:
    """The finished setting that is on the screen."""
    view, source = session.view, session.source
    trial = view.trial
    assert source is not None
    assert trial is not None
    file, described = trial.parts["file"], view.original["model"]
    chart = tried(view.original, session.tried, busy=False)
    measured, achieved = view.compressed.get("latency"), achieved_text(view)
    return Outcome(
        title=source.title,
        stem=source.stem,
        setting=f"{describe(trial.recipe)}{f' ({achieved})' if achieved else ''}",
        day=datetime.now(UTC).date().isoformat(),
        recipe=trial.recipe,
        files=files_of(source),
        original=report_of(described["id"], source.title, view.original),
        compressed=report_of(file["model_id"], file["name"], view.compressed),
        plan=Plan.from_dict(trial.parts["plan"]),
        numbers=(*_headlines(view), *_sizes(view)),
        points=tuple(_point(point, trial.recipe) for point in chart["points"]),
        unit=chart["unit"],
        falls=chart["falls"],
        metric=source.metric,
        remarks=_remarks(view),
        advice=tuple(file_sentences(trial.parts["plan"]["layers"], file["weight_only"])),
        clock=sizes.latency_sentence(Latency(**measured)) if measured else "",
        host=view.original.get("host", {}),
        inputs=tuple(_input(spec, view.original["profile"]) for spec in described["inputs"]),
        input_sizes=source.sizes,
        is_weight_only=file["weight_only"],
        is_made_up=source.made_up,
        not_compensated=file["not_compensated"],
    )


def _remarks(view: View) -> tuple[str, ...]:
    remarks = results.surprises_of(view)
    return tuple(remarks or [results.INCOMPLETE] * results.is_incomplete(view))


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
            meaning=LATENCY if card.key == "latency" else card.definition,
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
    before, after = view.original.get("profile") or {}, view.compressed.get("profile") or {}
    for key, text in sizes.SIZES:
        old, new = before.get(key), after.get(key)
        if key == "peak_activation_bytes" or new is None:
            continue
        yield Number(
            title=NUMBERS[key],
            meaning=DEFINITIONS[key],
            value=text(new),
            original=UNKNOWN if old is None else text(old),
            difference="" if old is None else relative(old, new),
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


def _input(spec: Mapping[str, Any], profile: Mapping[str, Any]) -> tuple[str, str, str]:
    """Name, type and shape; with the sizes that were taken, where the file leaves some open."""
    shape, sizes = format_shape(spec["shape"]), profile["input_sizes"].get(spec["name"])
    is_open = sizes is not None and list(sizes) != list(spec["shape"])
    return spec["name"], spec["dtype"], f"{shape}, here {format_shape(sizes)}" if is_open else shape
