"""What the child process can do. Every task takes plain values and answers in events.

A model is named by a *source*: {"model": path, "name": title, "data": path or null,
"calibration": path or null, "made_up": whether the data are random inputs, "metric": what quality
is measured by, or null for what fits, "input_sizes": shapes that were set, by input}. A file alone
is {"path", "name", "input_sizes": all that it was counted with}. The few models used last stay
open.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from explorer import pipeline
from explorer.compress.calibration import Calibration
from explorer.errors import DataError
from explorer.events import (
    Compared,
    Counted,
    Hosted,
    LimitsMeasured,
    NodesTimed,
    Probed,
    SurveyTimed,
    Timed,
    WeightsCompared,
)
from explorer.findings import Sensitivity
from explorer.jobs import import_tasks
from explorer.jobs.context import Context
from explorer.jobs.open_models import File, Source
from explorer.jobs.places import Desk, remove_passing
from explorer.jobs.sandbox import leaks
from explorer.jobs.terms import TERMS
from explorer.measure.changes import find_changes
from explorer.measure.histograms import histograms
from explorer.measure.host import describe_host
from explorer.measure.pictures import picture_of
from explorer.measure.roofline import machine_limits, node_rows
from explorer.model import Model
from explorer.preview.counts import counts
from explorer.preview.coverage import covers
from explorer.preview.parts import needed
from explorer.recipe import Recipe

SLICE_S = 2.0  # how long sensitivity is measured before others have their turn
MOST_TIMED = 3  # models of a survey that one slice hands over

Task = Callable[..., None]

TASKS: dict[str, Task] = {
    "import_files": import_tasks.import_files,
    "try_out": import_tasks.try_out,
    "convert": import_tasks.convert,
    "import_data": import_tasks.import_data,
}


def task(function: Task) -> Task:
    """Make a function a task of its own name, on the terms that stand in `terms`."""
    assert function.__name__ in TERMS
    TASKS[function.__name__] = function
    return function


@task
def open_model(context: Context, source: Source) -> None:
    """`Hosted`, what `pipeline.introduce` and `pipeline.measure_original` say, and `Timed`.

    `Hosted` also says what the sandbox lets through, which should be nothing.
    """
    context.progress(0.0, "reading the model")
    opened = context.models.source(source)
    found = leaks(Path.cwd()) if context.is_confined else ()
    context.send(Hosted(replace(describe_host(), leaks=found)))
    context.send_all(pipeline.introduce(opened))
    desk = Desk(context, source["model"], opened.model)
    desk.time_original()
    context.send_all(pipeline.measure_original(opened, desk, context))


@task
def compress(
    context: Context, source: Source, recipe: str, out: str, counted: list[str] | None = None
) -> None:
    """What `pipeline.run` says, with the file at `out`, and `Timed`.

    `Counted`, what the panel estimates with, comes without the parts that are `counted` already,
    and not at all where all are.
    """
    opened, asked = context.models.source(source), Recipe.from_json(recipe)
    desk = Desk(context, source["model"], opened.model, out)
    preview = partial(preview_counts, opened.model, asked, counted)
    context.send_all(pipeline.run(opened, asked, desk, context, preview=preview))


def preview_counts(
    model: Model,
    recipe: Recipe,
    counted: list[str] | None,
    calibration: Calibration | None,
) -> Iterator[Counted]:
    """`Counted` without the parts that are `counted` already.

    Nothing where all are, or where the browser doesn't cover the recipe.
    """
    wanted = needed(recipe) - set(counted or ())
    if covers(recipe) and (counted is None or wanted):
        yield Counted(counts(model, recipe, calibration, wanted))


@task
def latency(
    context: Context,
    model: File,
    against: File,
    setting: str = "",
) -> None:
    """`Timed`: first latency of one file beside another, then a more reliable one.

    Of a `setting` of a survey `SurveyTimed`; its file is removed.
    """
    try:
        timed = context.models.compressed(model)
    finally:
        if setting:
            Path(model["path"]).unlink(missing_ok=True)
    reference = timed if against == model else context.models.compressed(against)
    for found in pipeline.time_here(timed, reference, context):
        context.send(SurveyTimed(setting, found) if setting else Timed(found))


@task
def sensitivity(
    context: Context, source: Source, recipe: str, done: list[str], slice_s: float = SLICE_S
) -> None:
    """What `pipeline.sensitivity` says, without what is `done`, by keys.

    Ends after about `slice_s` seconds, though not without a result; the next slice goes on.
    """
    opened, base = _first_samples(context, source), Recipe.from_json(recipe)
    deadline = time.monotonic() + slice_s
    for event in pipeline.sensitivity(opened, base, context, done):
        context.send(event)
        if isinstance(event, Probed) and time.monotonic() >= deadline:
            return


@task
def survey(
    context: Context, source: Source, recipe: str, done: list[str], slice_s: float = SLICE_S
) -> None:
    """What `pipeline.survey` says, without what is `done`, by keys. Ends as `sensitivity` does."""
    opened, base = _first_samples(context, source), Recipe.from_json(recipe)
    if context.is_confined:
        remove_passing()
    deadline, desk = time.monotonic() + slice_s, Desk(context, source["model"], opened.model)

    def is_enough() -> bool:
        return time.monotonic() >= deadline or desk.handed_over == MOST_TIMED

    context.send_all(pipeline.survey(opened, base, desk, context, done, is_enough))


@task
def compare(context: Context, source: Source, small: File) -> None:
    """`Compared`: what the file `small` does otherwise than the original, with pictures of it."""
    opened = context.models.source(source)
    if opened.data is None:
        raise DataError("There are no samples to compare the two models on.")
    context.progress(0.1, "comparing on all samples")
    model = context.models.compressed(small)
    changes = find_changes(model, opened.data, opened.model, context.check, opened.metric)
    flips = changes.flips if changes is not None else ()
    pictures = tuple(picture_of(opened.data, flip.index) for flip in flips)
    context.send(Compared(asdict(changes) if changes is not None else None, pictures))


@task
def weights(context: Context, source: Source, small: File, layer: str) -> None:
    """`WeightsCompared`: how those of a layer are distributed before and after."""
    model = context.models.compressed(small)
    context.send(WeightsCompared(histograms(context.models.source(source).model, model, layer)))


@task
def costs(context: Context, model: File, limits: bool = False) -> None:
    """`NodesTimed` of a file, and before it `LimitsMeasured` of this machine where asked for."""
    if limits:
        context.send(LimitsMeasured(machine_limits(context.check)))
    context.send(NodesTimed(tuple(node_rows(context.models.compressed(model), context.check))))


@task
def spend(
    context: Context,
    source: Source,
    recipe: str,
    found: list[dict[str, Any]],
    points: float,
    on: str,
) -> None:
    """`Bought`: a recipe within an accuracy budget; `found` are all sensitivities, as JSON."""
    opened, base = _first_samples(context, source), Recipe.from_json(recipe)
    probed = [Sensitivity.from_dict(each) for each in found]
    context.send_all(pipeline.buy(opened, base, probed, points, on, context))


def _first_samples(context: Context, source: Source) -> pipeline.Opened:
    return pipeline.on_first_samples(context.models.source(source))
