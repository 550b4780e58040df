"""What is done with a model that is open, in its order: the one place that knows it.

Each function yields typed events as results come (`explorer.events`). The shell, the jobs of the
app and the notebook consume them. They differ in a `Place`: where a compressed model is kept, and
which process times it.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from explorer.compress.apply import apply, apply_quickly
from explorer.compress.calibration import Calibration, calibrate
from explorer.compress.compensation import why_not_reconstructed
from explorer.compress.estimate import estimate
from explorer.compress.plan import plan
from explorer.description import Artifact, Description, Scoring
from explorer.errors import DataError
from explorer.events import (
    Answered,
    Bought,
    Described,
    Encoded,
    Estimated,
    Event,
    Planned,
    Probed,
    ProbesCounted,
    Profiled,
    Relabelled,
    Scored,
    ScoredQuickly,
    ScoredWithoutReconstruction,
    Surveyed,
    SurveyTimed,
    Timed,
    latency_key,
)
from explorer.findings import Sensitivity
from explorer.formats.data import Dataset
from explorer.graph.layers import find_all_layers
from explorer.measure.latency import latencies
from explorer.measure.profile import profile
from explorer.measure.quality import (
    check_labels,
    count_answers,
    evaluate,
    output_error,
    suggest_relabelling,
)
from explorer.measure.runtime import is_weight_only
from explorer.measure.sample_axis import row_notes
from explorer.metrics import CLASS_METRICS, METRICS
from explorer.model import Model
from explorer.reasons import sentence_of
from explorer.recipe import Recipe
from explorer.report import Latency, Plan
from explorer.search.sensitivity import find_probes, measure_sensitivity
from explorer.search.spending import spend
from explorer.search.survey import settings

QUICK_SAMPLES = 250
FIRST_SAMPLES = 1000  # scored first, so that a number is there at once, and for every probe
CALIBRATION_S = 1.0  # a shorter one goes on though its run isn't wanted: the next one needs it too


@dataclass(frozen=True, eq=False)
class Opened:
    """A model with its samples; `calibration` is anything that `calibrate` reads, or its result.

    Samples that were `made_up` calibrate nothing: weights that fit those may fit no others.
    `scoring` says what quality is measured by, why, and what else fits.
    """

    model: Model
    data: Dataset | None = None
    calibration: object = None
    made_up: bool = False
    scoring: Scoring | None = None

    @property
    def metric(self) -> str | None:
        """What quality is measured by; None leaves the choice to the samples."""
        return self.scoring.metric if self.scoring is not None else None

    def scored_by(self, metric: str | None) -> "Opened":
        """The same with the scoring of its samples where these have labels, or a metric is set.

        Raises:
            DataError: the labels or the metric don't fit the model.
        """
        data = self.data
        if data is None or (data.labels is None and metric is None):
            return self
        return replace(self, scoring=check_labels(self.model, data, metric))


class Watch(Protocol):
    """Who waits for the work: hears how far it is, and may stop it."""

    def progress(self, fraction: float, text: str) -> None:
        """Hear how far the work is, from 0 to 1, and what is being done."""

    def check(self) -> None:
        """Stop the work here by raising, if it isn't wanted any more."""


class Unwatched:
    """A `Watch` that hears nothing and stops nothing."""

    def progress(self, fraction: float, text: str) -> None:
        """Go on."""

    def check(self) -> None:
        """Go on."""


class Place(Protocol):
    """Where a compressed model is kept, and which process times it."""

    def keep(self, model: Model) -> str:
        """Keep a model that was made; the path of its file, or nothing."""

    def time(
        self, model: Model, against: Model, watch: Watch, setting: str = ""
    ) -> Iterator[Latency]:
        """Time a model beside the original; yields nothing where another process does.

        `setting` is the name of one of a survey.
        """


@dataclass
class Here:
    """The `Place` of a shell or notebook: `model` is the one made last; this process times it."""

    model: Model | None = None

    def keep(self, model: Model) -> str:
        """Keep it in memory."""
        self.model = model
        return ""

    def time(
        self, model: Model, against: Model, watch: Watch, setting: str = ""
    ) -> Iterator[Latency]:
        """A first latency, then a more reliable one."""
        return time_here(model, against, watch)


@dataclass(frozen=True)
class Wanted:
    """What to measure in a run, beside the model itself and its counts.

    `quick`: about the quality, before the file is made; `first`: the quality on the first samples,
    before that on all; `timed`: the latency;
    `unreconstructed`: the quality of the same recipe without weight reconstruction.
    """

    quick: bool = True
    first: bool = True
    timed: bool = True
    unreconstructed: bool = True


Preview = Callable[[Calibration | None], Iterator[Event]]


def _no_preview(_: Calibration | None) -> Iterator[Event]:
    yield from ()


def introduce(opened: Opened) -> Iterator[Event]:
    """The original as it is: `Profiled`, `Described`."""
    yield Profiled(profile(opened.model))
    yield Described(_description(opened))


def measure_original(opened: Opened, place: Place, watch: Watch) -> Iterator[Event]:
    """The original's quality and time: `Scored`, `Timed`, and what there is to say of its labels.

    With class labels also `Relabelled`; without labels `Answered`.
    """
    yield from score(opened, opened.model, watch)
    for latency in place.time(opened.model, opened.model, watch):
        yield Timed(latency)


def run(
    opened: Opened,
    recipe: Recipe,
    place: Place,
    watch: Watch,
    wanted: Wanted = Wanted(),
    preview: Preview = _no_preview,
) -> Iterator[Event]:
    """One recipe on one model: calibrate, plan, estimate, apply, time, score.

    Yields `Planned`, `Estimated`, what `preview` has to tell, `Encoded`, `Profiled`, `Scored` and
    `Timed`; where weights are reconstructed, also `ScoredQuickly` before the file and
    `ScoredWithoutReconstruction` at the end.

    Raises:
        CompressionError: the recipe asks for what this model can't have.
        DataError: the samples don't fit the model.
        MeasurementError: the runtime can't run a model.
    """
    model = opened.model
    calibration = calibration_of(opened, watch) if recipe.compensate else None
    planned = plan(model, recipe, calibration)
    yield Planned(planned)
    yield Estimated(estimate(model, planned))
    yield from preview(calibration)
    watch.progress(0.3, "compressing")
    if calibration is None:
        calibration = calibration_of(opened, watch)
    if wanted.quick:
        yield from _score_quickly(opened, planned, calibration, watch)
    small = apply(model, planned, calibration, watch.check)
    reason = why_not_reconstructed(model, planned, calibration)
    path = place.keep(small)  # first, as another process may begin to time it
    counted = profile(small)
    sizes, is_narrow = counted.input_sizes, is_weight_only(small)
    why_not = sentence_of(reason)
    yield Encoded(Artifact(path, small.id, small.name, sizes, why_not, is_narrow))
    yield Profiled(counted)
    yield from score(opened, small, watch, wanted.first)
    if wanted.timed:
        for latency in place.time(small, model, watch):
            yield Timed(latency)
    if wanted.unreconstructed and reason is None and opened.data is not None:
        yield from _score_unreconstructed(opened, recipe, calibration, watch)


def on_first_samples(opened: Opened) -> Opened:
    """The same with the first samples only, to score many settings; calibration is unchanged."""
    data = opened.data
    return replace(opened, data=data.head(FIRST_SAMPLES) if data is not None else None)


def score(
    opened: Opened,
    model: Model,
    watch: Watch,
    first: bool = True,
    beside_itself: bool = False,
) -> Iterator[Event]:
    """`Scored` on the `first` samples, where there are many, and on all.

    Of the original with class labels also `Relabelled`, without labels `Answered`. Its output noise
    against itself, of which there is none, is scored only if it is to be put `beside_itself`.
    """
    data, original = opened.data, opened.model
    if data is None:
        return
    if first and len(data) > FIRST_SAMPLES:
        watch.progress(0.7, f"scoring the first {FIRST_SAMPLES} samples")
        head = data.head(FIRST_SAMPLES)
        yield Scored(evaluate(model, head, original, watch.check, opened.metric), on_first=True)
    watch.progress(0.75, f"scoring all {len(data)} samples")
    quality = evaluate(model, data, original, watch.check, opened.metric)
    if model is original and quality.metric in CLASS_METRICS:
        yield Relabelled(suggest_relabelling(model, data, opened.metric, watch.check))
    if model is original and quality.metric == "agreement":
        yield Answered(count_answers(model, data))
    if beside_itself or model is not original or quality.metric != "snr_db":
        yield Scored(quality)


def time_here(model: Model, against: Model, watch: Watch) -> Iterator[Latency]:
    """A first latency measured by this process, then a more reliable one."""
    watch.progress(0.5, "measuring latency")
    yield from latencies(model, against, check=watch.check)


def sensitivity(
    opened: Opened, base: Recipe, watch: Watch, done: Collection[str] = ()
) -> Iterator[Event]:
    """`ProbesCounted`, then `Probed` for each probe whose key isn't `done`, on all samples.

    Raises:
        DataError: there are no samples.
    """
    if opened.data is None:
        raise DataError("There are no samples to measure sensitivity on.")
    calibration = calibration_of(opened, watch) if base.compensate else None
    probes = find_probes(opened.model, base.widths)
    yield ProbesCounted(len(probes))
    known = [probe for probe in probes if probe.key in done]
    found = measure_sensitivity(
        opened.model, opened.data, calibration, base, known, watch.check, opened.metric
    )
    for count, each in enumerate(found, len(known) + 1):
        yield Probed(each)
        watch.progress(count / len(probes), "measuring sensitivity")


def buy(
    opened: Opened,
    base: Recipe,
    found: Collection[Sensitivity],
    points: float,
    on: str,
    watch: Watch,
) -> Iterator[Event]:
    """`Bought`: a recipe that minimizes `on` within an accuracy budget of `points`.

    `found` are all sensitivities with the `base` recipe, on the same samples.

    Raises:
        DataError: there are no samples.
    """
    if opened.data is None:
        raise DataError("There are no samples to measure the loss of a recipe on.")
    calibration = calibration_of(opened, watch) if base.compensate else None

    def progress(fraction: float) -> None:
        watch.progress(fraction, "generating a recipe")

    progress(0.0)
    yield Bought(
        spend(
            opened.model,
            list(found),
            points,
            on,
            opened.data,
            calibration,
            base,
            watch.check,
            progress,
            opened.metric,
        )
    )


def survey(
    opened: Opened,
    base: Recipe,
    place: Place,
    watch: Watch,
    done: Collection[str] = (),
    is_enough: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """`ProbesCounted`, then `Surveyed` and `SurveyTimed` for what isn't `done`, by their keys.

    Ends after a result once there `is_enough` for now.
    """
    model, calibration = opened.model, calibration_of(opened, watch)
    wanted = settings(model, base, calibration is not None)
    yield ProbesCounted(sum(len(setting.keys) for setting in wanted))
    for setting in wanted:
        left = [key for key in setting.keys if key not in done]
        if not left:
            continue
        planned = plan(model, setting.recipe, calibration)
        small = apply(model, planned, calibration, watch.check)
        if setting.name in left:
            yield _surveyed(setting.name, setting.recipe, small, opened, watch)
            if is_enough():
                return
        if latency_key(setting.name) in left:
            for latency in place.time(small, model, watch, setting.name):
                yield SurveyTimed(setting.name, latency)
        if is_enough():
            return


def calibration_of(opened: Opened, watch: Watch) -> Calibration | None:
    """What the calibration samples come to; None where there are none."""
    source = opened.calibration
    if source is None or isinstance(source, Calibration):
        return source
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        watch.progress(0.25 * done / total, "calibrating")
        if time.monotonic() - started > CALIBRATION_S:
            watch.check()

    return calibrate(opened.model, source, progress)


def _description(opened: Opened) -> Description:
    model, data = opened.model, opened.data
    notes = row_notes(model, data) if data is not None and not opened.made_up else ()
    return Description(
        id=model.id,
        name=model.name,
        remarks=(*model.remarks, *notes),
        inputs=model.inputs,
        outputs=model.outputs,
        layers=find_all_layers(model),
        samples=len(data) if data is not None else 0,
        labelled=data is not None and data.labels is not None,
        made_up=opened.made_up,
        scoring=opened.scoring,
    )


def _score_quickly(
    opened: Opened, planned: Plan, calibration: Calibration | None, watch: Watch
) -> Iterator[Event]:
    """Nothing where no weights will be reconstructed, or there are no samples."""
    if opened.data is None:
        return
    small = apply_quickly(opened.model, planned, calibration, watch.check)
    if small is not None:
        head = opened.data.head(QUICK_SAMPLES)
        quality = evaluate(small, head, opened.model, watch.check, opened.metric)
        yield ScoredQuickly(quality)


def _score_unreconstructed(
    opened: Opened, recipe: Recipe, calibration: Calibration | None, watch: Watch
) -> Iterator[Event]:
    """Samples then only give the ranges of rounded activations."""
    assert opened.data is not None  # the caller has looked
    watch.progress(0.9, "scoring without reconstruction")
    plain = plan(opened.model, replace(recipe, compensate=False), calibration)
    small = apply(opened.model, plain, calibration, watch.check)
    quality = evaluate(small, opened.data, opened.model, watch.check, opened.metric)
    yield ScoredWithoutReconstruction(quality)


def _surveyed(name: str, recipe: Recipe, small: Model, opened: Opened, watch: Watch) -> Surveyed:
    data = opened.data
    if data is None:
        return Surveyed(name, recipe)
    error = output_error(small, data, opened.model, watch.check)
    quality = evaluate(small, data, opened.model, watch.check, opened.metric)
    return Surveyed(
        name,
        recipe,
        output_error=error if math.isfinite(error) else None,
        quality=quality.value,
        reference=quality.reference_value,
        falls=METRICS[quality.metric].falls,
    )
