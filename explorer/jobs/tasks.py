"""What the child process can do. Every task takes plain values and answers in parts.

A model is named by a *source*: {"model": path, "name": title, "data": path or null,
"calibration": path or null, "made_up": whether the data are random inputs}. The few models used
last stay open.
"""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from explorer.compress.apply import apply
from explorer.compress.calibration import Calibration, calibrate
from explorer.compress.compensation import why_not_compensated
from explorer.compress.estimate import estimate
from explorer.compress.plan import plan
from explorer.errors import FILES_GONE, DataError, JobError
from explorer.formats.data import Dataset, load_data
from explorer.formats.onnx_file import load
from explorer.graph.layers import find_all_layers
from explorer.jobs import importing
from explorer.jobs.context import Context
from explorer.jobs.sandbox import leaks
from explorer.jobs.terms import TERMS
from explorer.measure.host import describe_host
from explorer.measure.latency import measure_latency
from explorer.measure.profile import profile
from explorer.measure.quality import check_labels, evaluate, output_error
from explorer.measure.runtime import is_weight_only
from explorer.model import Model
from explorer.recipe import Recipe
from explorer.report import Quality
from explorer.search import spending
from explorer.search import survey as surveying
from explorer.search.sensitivity import Probe, Sensitivity, find_probes, measure_sensitivity
from explorer.widget.counts import counts
from explorer.widget.parts import needed

OPEN_MODELS = 4
DATA_TITLE = "The data file"
FIRST_SAMPLES = 1000  # scored first, so that a number is there at once
PROBE_SAMPLES = 1000  # scored for each probe of the sensitivity
CALIBRATION_S = 1.0  # a shorter one goes on though its job isn't wanted: the next one needs it too
SLICE_S = 2.0  # how long sensitivity is measured before others have their turn
MOST_TIMED = 3  # models of a survey that one slice hands over
SURVEY = "survey:"

Task = Callable[..., None]
Source = dict[str, Any]

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


@dataclass(frozen=True, eq=False)
class _Opened:
    model: Model
    data: Dataset | None
    calibration_path: str | None
    made_up: bool


_opened: "OrderedDict[tuple[Any, ...], _Opened]" = OrderedDict()


@task
def open_model(context: Context, source: Source) -> None:
    """Parts `host`, `profile`, `model` (inputs, layers, which data), `latency`, `quality`.

    Part `host` also says what the sandbox lets through, which should be nothing.
    """
    context.progress(0.0, "reading the model")
    opened = _open(source)
    model = opened.model
    context.part("host", {**describe_host(), "leaks": leaks(Path.cwd())})
    context.part("profile", asdict(profile(model)))
    context.part("model", _describe(opened))
    named = {"path": source["model"], "name": model.name}
    context.hand_over("latency", model=named, against=named)
    _score(context, opened, model)


@task
def compress(
    context: Context, source: Source, recipe: str, out: str, counted: list[str] | None = None
) -> None:
    """Parts `plan`, `estimate`, and of the file at `out` its `profile`, `latency`, `quality`.

    Part `file` also says why the weights weren't refitted, where they weren't, and whether only
    the weights are quantized; `first_quality`, on the first samples, comes before `quality` where
    there are many. Part `counts` is what the panel counts with, without the parts that are
    `counted` already; none comes where all are. Where the weights were refitted, `naive_quality` is
    that of the same recipe without refitting.
    """
    opened, asked = _open(source), Recipe.from_json(recipe)
    model = opened.model
    calibration = _calibration(context, opened) if asked.compensate else None
    planned = plan(model, asked, calibration)
    context.part("plan", planned.to_dict())
    context.part("estimate", asdict(estimate(model, planned)))
    wanted = needed(asked) - set(counted or ())
    if counted is None or wanted:
        context.part("counts", counts(model, asked, calibration, wanted))
    context.progress(0.3, "compressing")
    if calibration is None:
        calibration = _calibration(context, opened)
    small = apply(model, planned, calibration, context.check)
    small.save(out)
    reason = why_not_compensated(model, planned, calibration)
    names = {"path": out, "model_id": small.id, "name": small.name}
    facts = {"not_compensated": reason, "weight_only": is_weight_only(small)}
    context.part("file", {**names, **facts})
    context.part("profile", asdict(profile(small)))
    candidate = {"path": out, "name": small.name}
    original = {"path": source["model"], "name": model.name}
    context.hand_over("latency", model=candidate, against=original)
    _score(context, opened, small)
    if opened.data is not None and reason is None:
        context.progress(0.9, "scoring without refitting")
        naive = replace(asked, compensate=False)
        quality = _naive_quality(context, opened, opened.data, naive, calibration)
        context.part("naive_quality", asdict(quality))


@task
def latency(
    context: Context,
    model: dict[str, str],
    against: dict[str, str],
    part: str = "latency",
    is_passing: bool = False,
) -> None:
    """The `part`, of one file beside another; both as {"path", "name"}.

    A file that `is_passing` is removed.
    """
    context.progress(0.5, "measuring latency")
    timed = load(model["path"], model["name"])
    if is_passing:
        Path(model["path"]).unlink()
    reference = timed if against == model else load(against["path"], against["name"])
    context.part(part, asdict(measure_latency(timed, reference, check=context.check)))


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
    data = opened.data.head(PROBE_SAMPLES)
    calibration = _calibration(context, opened) if base.compensate else None
    probes = find_probes(opened.model, base.widths)
    context.part("probes", len(probes))
    known = [probe for probe in probes if _part_of(probe) in done]
    deadline = time.monotonic() + slice_s
    found = measure_sensitivity(opened.model, data, calibration, base, known, context.check)
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
    calibration = _calibration(context, opened)
    data = opened.data.head(PROBE_SAMPLES) if opened.data is not None else None
    settings = surveying.settings(opened.model, base, calibration is not None)
    wanted = [(setting, [f"{SURVEY}{name}" for name in setting.parts]) for setting in settings]
    context.part("probes", sum(len(names) for _, names in wanted))
    deadline, timed = time.monotonic() + slice_s, 0
    for setting, names in wanted:
        left = [name for name in names if name not in done]
        if not left:
            continue
        if time.monotonic() >= deadline or timed == MOST_TIMED:
            return
        planned = plan(opened.model, setting.recipe, calibration)
        small = apply(opened.model, planned, calibration, context.check)
        if setting.scored and names[0] in left:
            context.part(names[0], _scored(context, setting.recipe, small, opened.model, data))
        if setting.timed and names[-1] in left:
            path = Path.cwd() / f"compressed-{secrets.token_hex(8)}.onnx"
            small.save(path)
            context.hand_over(
                "latency",
                model={"path": str(path), "name": small.name},
                against={"path": source["model"], "name": opened.model.name},
                part=names[-1],
                is_passing=True,
            )
            timed += 1


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
        raise DataError("There are no samples to measure on what a recipe loses.")
    calibration = _calibration(context, opened) if base.compensate else None
    context.progress(0.0, "making a recipe")
    spent = spending.spend(
        opened.model,
        [Sensitivity.from_dict(each) for each in found],
        points,
        on,
        opened.data.head(PROBE_SAMPLES),
        calibration,
        base,
        context.check,
        lambda fraction: context.progress(fraction, "making a recipe"),
    )
    context.part("spent", spent.to_dict())


def _scored(
    context: Context, recipe: Recipe, small: Model, original: Model, data: Dataset | None
) -> dict[str, Any]:
    """What a setting of the survey comes to; without samples that is its recipe alone."""
    told: dict[str, Any] = {"recipe": asdict(recipe), "output_error": None, "quality": None}
    if data is None:
        return told
    error = output_error(small, data, original, context.check)
    if math.isfinite(error):
        told["output_error"] = error
    told["quality"] = evaluate(small, data, original, context.check).value
    return told


def _part_of(probe: Probe) -> str:
    setting = probe.weight_bits if probe.ratio is None else probe.ratio
    return f"sensitivity:{probe.place}:{setting}"


def _naive_quality(
    context: Context,
    opened: _Opened,
    data: Dataset,
    recipe: Recipe,
    calibration: Calibration | None,
) -> Quality:
    """Of a recipe without refitting; samples only give the ranges of rounded activations."""
    model = opened.model
    small = apply(model, plan(model, recipe), calibration, context.check)
    return evaluate(small, data, model, context.check)


def _open(source: Source) -> _Opened:
    path = Path(source["model"])
    if not path.exists():
        raise JobError(FILES_GONE)
    key = (str(path), path.stat().st_mtime_ns, source.get("data"), source.get("calibration"))
    if key in _opened:
        _opened.move_to_end(key)
        return _opened[key]
    model = load(path, source.get("name"))
    data = load_data(source["data"], model, DATA_TITLE) if source.get("data") else None
    if data is not None:
        check_labels(model, data)
    made_up = bool(source.get("made_up"))
    _opened[key] = _Opened(model, data, source.get("calibration"), made_up)
    while len(_opened) > OPEN_MODELS:
        _opened.popitem(last=False)
    return _opened[key]


def _describe(opened: _Opened) -> dict[str, Any]:
    model, data = opened.model, opened.data
    return {
        "id": model.id,
        "name": model.name,
        "inputs": [asdict(spec) for spec in model.inputs],
        "outputs": [asdict(spec) for spec in model.outputs],
        "layers": [asdict(layer) for layer in find_all_layers(model)],
        "samples": len(data) if data is not None else 0,
        "labelled": data is not None and data.labels is not None,
        "made_up": opened.made_up,
        "calibrated": opened.calibration_path is not None
        or (data is not None and not opened.made_up),
    }


def _calibration(context: Context, opened: _Opened) -> Calibration | None:
    """From the calibration samples; where there are none, from the inputs of the data.

    Not from inputs that were made up: weights that fit those may fit no others.
    """
    source = opened.calibration_path or opened.data
    if source is None or opened.made_up:
        return None
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        context.emit("progress", fraction=0.25 * done / total, text="calibrating")
        if time.monotonic() - started > CALIBRATION_S:
            context.check()

    return calibrate(opened.model, source, progress)


def _score(context: Context, opened: _Opened, model: Model) -> None:
    """Parts `first_quality`, where there are many samples, and `quality`."""
    data, original = opened.data, opened.model
    if data is None:
        return
    if len(data) > FIRST_SAMPLES:
        context.progress(0.7, f"scoring the first {FIRST_SAMPLES} samples")
        first = evaluate(model, data.head(FIRST_SAMPLES), original, context.check)
        context.part("first_quality", asdict(first))
    context.progress(0.75, f"scoring all {len(data)} samples")
    quality = evaluate(model, data, original, context.check)
    if model is not original or quality.metric != "snr_db":  # there is no noise against itself
        context.part("quality", asdict(quality))
