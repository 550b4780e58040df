"""What the child process can do. Every task takes plain values and answers in parts.

A model is named by a *source*: {"model": path, "name": title, "data": path or null,
"calibration": path or null, "made_up": whether the data are random inputs, "metric": what quality
is measured by, or null for what fits, "input_sizes": shapes that were set, by input}. A file alone
is {"path", "name", "input_sizes": all that it was counted with}. The few models used last stay
open.
"""

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from explorer.errors import FILES_GONE, DataError, JobError
from explorer.formats.data import load_data
from explorer.formats.onnx_file import load
from explorer.graph.shapes import input_sizes
from explorer.jobs import importing, steps
from explorer.jobs.context import Context
from explorer.jobs.sandbox import leaks
from explorer.jobs.steps import FIRST_SAMPLES, Opened
from explorer.jobs.terms import TERMS
from explorer.measure.changes import find_changes
from explorer.measure.histograms import histograms
from explorer.measure.host import describe_host
from explorer.measure.pictures import picture_of
from explorer.measure.quality import check_labels
from explorer.measure.roofline import machine_limits, node_rows
from explorer.model import Model
from explorer.opening import load as open_checked
from explorer.recipe import Recipe
from explorer.search import spending
from explorer.search.sensitivity import Probe, Sensitivity, find_probes, measure_sensitivity

OPEN_MODELS = 4
DATA_TITLE = "The data file"
SLICE_S = 2.0  # how long sensitivity is measured before others have their turn
MOST_TIMED = 3  # models of a survey that one slice hands over
PASSING = "passing-"  # files that are there until they are timed

Task = Callable[..., None]
Source = dict[str, Any]
File = dict[str, Any]

TASKS: dict[str, Task] = {
    "import_files": importing.import_files,
    "try_out": importing.try_out,
    "convert": importing.convert,
    "import_data": importing.import_data,
}


def task(function: Task) -> Task:
    """Make a function a task of its own name, on the terms that stand in `terms`."""
    assert function.__name__ in TERMS
    TASKS[function.__name__] = function
    return function


_opened: "OrderedDict[tuple[Any, ...], Opened]" = OrderedDict()


@task
def open_model(context: Context, source: Source) -> None:
    """Parts `host`, `profile`, `model` (inputs, layers, which data), `latency`, `quality`.

    Part `host` also says what the sandbox lets through, which should be nothing.
    """
    context.progress(0.0, "reading the model")
    opened = _open(source)
    model = opened.model
    context.part("host", {**describe_host(), "leaks": leaks(Path.cwd())})
    steps.introduce(context, opened)
    named = _named(source["model"], model)
    context.hand_over("latency", model=named, against=named)
    steps.score(context, opened, model)


@task
def compress(
    context: Context, source: Source, recipe: str, out: str, counted: list[str] | None = None
) -> None:
    """Parts `plan`, `estimate`, and of the file at `out` its `profile`, `latency`, `quality`.

    Part `file` also says why the weights weren't reconstructed, where they weren't, and whether
    only the weights are quantized; `first_quality`, on the first samples, comes before `quality`
    where there are many. Part `counts` is what the panel counts with, without the parts that are
    `counted` already; none comes where all are. Where weights were reconstructed, `naive_quality`
    is that of the same recipe without reconstruction.
    """
    opened = _open(source)
    made = steps.make(context, opened, Recipe.from_json(recipe), counted)
    made.model.save(out)
    candidate, original = _named(out, made.model), _named(source["model"], opened.model)
    context.hand_over("latency", model=candidate, against=original)
    steps.tell(context, made, path=out)
    steps.score(context, opened, made.model)
    steps.score_naive(context, opened, made)


@task
def latency(
    context: Context,
    model: File,
    against: File,
    part: str = "latency",
    is_passing: bool = False,
) -> None:
    """The `part`, of one file beside another; then anew, but surer.

    A file that `is_passing` is removed.
    """
    try:
        timed = _load(model)
    finally:
        if is_passing:
            Path(model["path"]).unlink(missing_ok=True)
    reference = timed if against == model else _load(against)
    steps.clock(context, timed, reference, part)


@task
def sensitivity(
    context: Context, source: Source, recipe: str, done: list[str], slice_s: float = SLICE_S
) -> None:
    """Parts `probes`, how many there are, and `sensitivity:<place>:<ratio or bits>` for each.

    Those `done`, by the names of their parts, are left out. Scored on the first samples. Ends after
    about `slice_s` seconds, though not without a result; the next slice goes on.
    """
    opened, base = _open(source), Recipe.from_json(recipe)
    if opened.data is None:
        raise DataError("There are no samples to measure sensitivity on.")
    data = opened.data.head(FIRST_SAMPLES)
    calibration = steps.calibration_of(context, opened) if base.compensate else None
    probes = find_probes(opened.model, base.widths)
    context.part("probes", len(probes))
    known = [probe for probe in probes if _part_of(probe) in done]
    deadline = time.monotonic() + slice_s
    found = measure_sensitivity(
        opened.model, data, calibration, base, known, context.check, opened.metric
    )
    for count, each in enumerate(found, len(known) + 1):
        context.part(_part_of(each.probe), each.to_dict())
        context.progress(count / len(probes), "measuring sensitivity")
        if time.monotonic() >= deadline:
            return


@task
def survey(
    context: Context,
    source: Source,
    recipe: str,
    done: list[str],
    slice_s: float = SLICE_S,
) -> None:
    """Parts `probes`, how many there are, and those of the survey (`explorer.search.survey`).

    `survey:<setting>` has its recipe, the `output_error` (None: not a number) and `quality`, on the
    first samples, `survey:<setting>:latency` a latency. Those `done` are left out. Ends as
    `sensitivity` does.
    """
    opened, base = _open(source), Recipe.from_json(recipe)
    deadline, timed = time.monotonic() + slice_s, 0
    for left in Path.cwd().glob(f"{PASSING}*.onnx"):  # of slices that were stopped
        if left.stat().st_mtime < time.time() - TERMS["survey"].limit_s:
            left.unlink(missing_ok=True)
    for part, small in steps.survey(context, opened, base, done):
        if small is not None:
            path = Path.cwd() / f"{PASSING}{secrets.token_hex(8)}.onnx"
            small.save(path)
            candidate = _named(str(path), small)
            original = _named(source["model"], opened.model)
            context.hand_over(
                "latency", model=candidate, against=original, part=part, is_passing=True
            )
            timed += 1
        if time.monotonic() >= deadline or timed == MOST_TIMED:
            return


@task
def compare(context: Context, source: Source, small: File) -> None:
    """Parts `changes` (`Changes`; None without class scores) and `pictures` of its flips.

    `small` is the compressed file.
    """
    opened = _open(source)
    if opened.data is None:
        raise DataError("There are no samples to compare the two models on.")
    context.progress(0.1, "comparing on all samples")
    model = _load(small)
    changes = find_changes(model, opened.data, opened.model, context.check, opened.metric)
    context.part("changes", asdict(changes) if changes is not None else None)
    flips = changes.flips if changes is not None else ()
    context.part("pictures", [picture_of(opened.data, flip.index) for flip in flips])


@task
def weights(context: Context, source: Source, small: File, layer: str) -> None:
    """Part `weights`: how those of a layer are distributed before and after (`histograms`)."""
    model = _load(small)
    context.part("weights", histograms(_open(source).model, model, layer))


@task
def costs(context: Context, model: File, limits: bool = False) -> None:
    """Part `nodes` of a file with their costs (`roofline`), and those `limits` of this machine."""
    if limits:
        context.part("limits", machine_limits(context.check))
    context.part("nodes", node_rows(_load(model), context.check))


@task
def spend(
    context: Context,
    source: Source,
    recipe: str,
    found: list[dict[str, Any]],
    points: float,
    on: str,
) -> None:
    """Part `spent`: what a budget of points buys, a `Spent` with its recipe.

    `found` are the parts of the sensitivity with this recipe; the same first samples are scored.
    """
    opened, base = _open(source), Recipe.from_json(recipe)
    if opened.data is None:
        raise DataError("There are no samples to measure the loss of a recipe on.")
    calibration = steps.calibration_of(context, opened) if base.compensate else None
    context.progress(0.0, "generating a recipe")
    spent = spending.spend(
        opened.model,
        [Sensitivity.from_dict(each) for each in found],
        points,
        on,
        opened.data.head(FIRST_SAMPLES),
        calibration,
        base,
        context.check,
        lambda fraction: context.progress(fraction, "generating a recipe"),
        opened.metric,
    )
    context.part("spent", spent.to_dict())


def _part_of(probe: Probe) -> str:
    setting = probe.weight_bits if probe.ratio is None else probe.ratio
    return f"sensitivity:{probe.place}:{setting}"


def _named(path: str, model: Model) -> File:
    """A model's file, for a task that takes it up at the same input sizes."""
    return {"path": path, "name": model.name, "input_sizes": input_sizes(model)}


def _load(file: File) -> Model:
    sizes = file.get("input_sizes") or {}
    shapes = {name: tuple(shape) for name, shape in sizes.items()}
    return load(file["path"], file["name"]).with_changes(input_sizes=shapes)


def _open(source: Source) -> Opened:
    path = Path(source["model"])
    if not path.exists():
        raise JobError(FILES_GONE)
    sizes = source.get("input_sizes") or {}
    more = (source.get(name) for name in ("data", "calibration", "metric"))
    key = (str(path), path.stat().st_mtime_ns, *more, json.dumps(sizes, sort_keys=True))
    if key in _opened:
        _opened.move_to_end(key)
        return _opened[key]
    model = open_checked(path, source.get("name"), sizes)
    data = load_data(source["data"], model, DATA_TITLE) if source.get("data") else None
    metric, scoring, made_up = source.get("metric"), None, bool(source.get("made_up"))
    if data is not None and (data.labels is not None or metric is not None):
        scoring = check_labels(model, data, metric)
        metric = scoring.metric
    calibration = source.get("calibration")
    _opened[key] = Opened(model, data, calibration, made_up, metric, scoring)
    while len(_opened) > OPEN_MODELS:
        _opened.popitem(last=False)
    return _opened[key]
