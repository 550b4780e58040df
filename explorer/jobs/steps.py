"""What is done with a model that is open, step by step, in parts that are sent as they come.

The steps know neither where a file is kept nor which process times it: the tasks of the confined
processes and a notebook's kernel each put that between them.
"""

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from explorer.compress.apply import apply
from explorer.compress.calibration import Calibration, calibrate
from explorer.compress.compensation import why_not_compensated
from explorer.compress.estimate import estimate
from explorer.compress.plan import plan
from explorer.formats.data import Dataset
from explorer.graph.layers import find_all_layers
from explorer.jobs.context import Context
from explorer.measure.latency import measure_latency
from explorer.measure.profile import profile
from explorer.measure.quality import (
    count_answers,
    evaluate,
    output_error,
    suggest_relabelling,
)
from explorer.measure.runtime import is_weight_only
from explorer.measure.sample_axis import row_notes
from explorer.measure.scoring import Scoring
from explorer.metrics import CLASS_METRICS, METRICS
from explorer.model import Model
from explorer.reasons import Reason, sentence_of
from explorer.recipe import Recipe
from explorer.report import Latency
from explorer.search.survey import settings
from explorer.widget.counts import counts
from explorer.widget.parts import needed

FIRST_SAMPLES = 1000  # scored first, so that a number is there at once, and for every probe
CALIBRATION_S = 1.0  # a shorter one goes on though its job isn't wanted: the next one needs it too


@dataclass(frozen=True, eq=False)
class Opened:
    """A model with its samples; `calibration` is anything that `calibrate` reads, or its result.

    `made_up` says that the samples are random inputs. `metric` is what quality is measured by;
    `scoring` says which that is, why, and what else fits.
    """

    model: Model
    data: Dataset | None = None
    calibration: object = None
    made_up: bool = False
    metric: str | None = None
    scoring: Scoring | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """A compressed model, and how it was made; `not_compensated` says why nothing was refitted."""

    model: Model
    recipe: Recipe
    calibration: Calibration | None
    not_compensated: Reason | None


def introduce(context: Context, opened: Opened) -> None:
    """Parts `profile` and `model` (inputs, outputs, layers, remarks, which samples) as it is."""
    context.part("profile", asdict(profile(opened.model)))
    context.part("model", _described(opened))


def _described(opened: Opened) -> dict[str, Any]:
    model, data = opened.model, opened.data
    notes = row_notes(model, data) if data is not None and not opened.made_up else ()
    return {
        "id": model.id,
        "name": model.name,
        "remarks": [*model.remarks, *notes],
        "inputs": [asdict(spec) for spec in model.inputs],
        "outputs": [asdict(spec) for spec in model.outputs],
        "layers": [asdict(layer) for layer in find_all_layers(model)],
        "samples": len(data) if data is not None else 0,
        "labelled": data is not None and data.labels is not None,
        "made_up": opened.made_up,
        "scoring": asdict(opened.scoring) if opened.scoring is not None else None,
        "calibrated": opened.calibration is not None or (data is not None and not opened.made_up),
    }


def calibration_of(context: Context, opened: Opened) -> Calibration | None:
    """From the calibration samples; where there are none, from the inputs of the data.

    Not from inputs that were made up: weights that fit those may fit no others.
    """
    source = opened.calibration if opened.calibration is not None else opened.data
    if source is None or opened.made_up:
        return None
    if isinstance(source, Calibration):
        return source
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        context.emit("progress", fraction=0.25 * done / total, text="calibrating")
        if time.monotonic() - started > CALIBRATION_S:
            context.check()

    return calibrate(opened.model, source, progress)


def make(
    context: Context, opened: Opened, recipe: Recipe, counted: list[str] | None = None
) -> Made:
    """Parts `plan`, `estimate`, and `counts`, what the panel counts with; then the model.

    Without the counts that are `counted` already; none come where all are.
    """
    model = opened.model
    calibration = calibration_of(context, opened) if recipe.compensate else None
    planned = plan(model, recipe, calibration)
    context.part("plan", planned.to_dict())
    context.part("estimate", asdict(estimate(model, planned)))
    wanted = needed(recipe) - set(counted or ())
    if counted is None or wanted:
        context.part("counts", counts(model, recipe, calibration, wanted))
    context.progress(0.3, "compressing")
    if calibration is None:
        calibration = calibration_of(context, opened)
    small = apply(model, planned, calibration, context.check)
    return Made(small, recipe, calibration, why_not_compensated(model, planned, calibration))


def tell(context: Context, made: Made, **kept: str) -> None:
    """Parts `file`, with where it is `kept`, and the file's `profile`."""
    named: dict[str, Any] = {**kept, "model_id": made.model.id, "name": made.model.name}
    why_not = sentence_of(made.not_compensated)
    facts = {"not_compensated": why_not, "weight_only": is_weight_only(made.model)}
    profiled = asdict(profile(made.model))
    named["input_sizes"] = profiled["input_sizes"]
    context.part("file", {**named, **facts})  # the two at once are drawn at once
    context.part("profile", profiled)


def score(context: Context, opened: Opened, model: Model) -> None:
    """Parts `first_quality`, where there are many samples, and `quality`.

    Of the original with class labels also `relabelling`, a numbering that fits better, or None;
    without labels `answers`, how many classes it chooses on these samples.
    """
    data, original = opened.data, opened.model
    if data is None:
        return
    if len(data) > FIRST_SAMPLES:
        context.progress(0.7, f"scoring the first {FIRST_SAMPLES} samples")
        head = data.head(FIRST_SAMPLES)
        first = evaluate(model, head, original, context.check, opened.metric)
        context.part("first_quality", asdict(first))
    context.progress(0.75, f"scoring all {len(data)} samples")
    quality = evaluate(model, data, original, context.check, opened.metric)
    if model is original and quality.metric in CLASS_METRICS:
        context.part("relabelling", _relabelling(context, opened))
    if model is original and quality.metric == "agreement":
        context.part("answers", count_answers(model, data))
    if model is not original or quality.metric != "snr_db":  # there is no noise against itself
        context.part("quality", asdict(quality))


def _relabelling(context: Context, opened: Opened) -> dict[str, Any] | None:
    """A numbering of the labels that fits the original much better, a `Relabelling`, or None."""
    data = opened.data
    assert data is not None
    assert data.labels is not None
    found = suggest_relabelling(opened.model, data, opened.metric, context.check)
    return asdict(found) if found is not None else None


def clock(context: Context, model: Model, against: Model, part: str = "latency") -> None:
    """The `part`, of one model beside another, and then anew, but surer."""
    context.progress(0.5, "measuring latency")

    def tell(found: Latency) -> None:
        context.part(part, asdict(found))

    tell(measure_latency(model, against, check=context.check, tell=tell))


def score_naive(context: Context, opened: Opened, made: Made) -> None:
    """Part `naive_quality`, that of the same recipe without refitting, where weights were refitted.

    Samples then only give the ranges of rounded activations.
    """
    if opened.data is None or made.not_compensated is not None:
        return
    context.progress(0.9, "scoring without refitting")
    model = opened.model
    naive = plan(model, replace(made.recipe, compensate=False), made.calibration)
    small = apply(model, naive, made.calibration, context.check)
    quality = evaluate(small, opened.data, model, context.check, opened.metric)
    context.part("naive_quality", asdict(quality))


def survey(
    context: Context, opened: Opened, base: Recipe, done: Collection[str]
) -> Iterator[tuple[str, Model | None]]:
    """Parts `probes`, how many there are, and `survey:<setting>` of those that aren't `done`.

    Each has its recipe, the `output_error` (None: not a number) and the `quality` on the first
    samples. After each part its name, and a model wherever one has to be timed for the part.
    """
    model, calibration = opened.model, calibration_of(context, opened)
    data = opened.data.head(FIRST_SAMPLES) if opened.data is not None else None
    wanted = settings(model, base, calibration is not None)
    context.part("probes", sum(len(setting.parts) for setting in wanted))
    for setting in wanted:
        left = [part for name in setting.parts if (part := f"survey:{name}") not in done]
        if not left:
            continue
        small = apply(model, plan(model, setting.recipe, calibration), calibration, context.check)
        for part in left:
            if part.endswith(":latency"):
                yield part, small
            else:
                scores = _scores(context, small, opened, data) if data is not None else {}
                context.part(part, {"recipe": asdict(setting.recipe), **scores})
                yield part, None


def _scores(context: Context, small: Model, opened: Opened, data: Dataset) -> dict[str, Any]:
    error = output_error(small, data, opened.model, context.check)
    quality = evaluate(small, data, opened.model, context.check, opened.metric)
    return {
        "output_error": error if math.isfinite(error) else None,
        "quality": quality.value,
        "reference": quality.reference_value,
        "falls": METRICS[quality.metric].falls,
    }
