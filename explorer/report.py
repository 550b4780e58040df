"""What came out: `Profile`, `Latency`, `Quality`, and the `Plan` and `Report` that hold them.

All are frozen and flat, and turn into the JSON of the command line with `to_dict`. Every quantity
carries its unit in its name; 1 MAC (multiply-accumulate) is 2 FLOPs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from explorer.metrics import METRICS
from explorer.reasons import Reason
from explorer.recipe import Recipe
from explorer.storage_types import STORAGE_TYPES, StorageType

DIGITS = 9  # of a difference of shares, below which there is only the arithmetic's own error


@dataclass(frozen=True)
class Profile:
    """Counts that need no clock and no data, at the sizes that the inputs have then.

    `params`: trainable numbers; `nonzero_params`: those that aren't zero; `macs`: multiply-
    accumulates of one inference; `file_bytes`: the ONNX file as written; `gzip_bytes`: the same
    compressed with gzip; `packed_bytes`: weights at their bit width with their scales, sparse ones
    as the cheaper of bitmask and index list; `peak_activation_bytes`: largest set of activations
    alive at once; `annotation_bytes`: text in the file that no runtime reads, as stack traces of
    the exporter (see `graph.annotations`); `uncounted_ops`: operators without a formula, never
    counted as zero, and, marked as `reasons.Uncounted` says, those whose formula needs a shape
    that is only known when the graph runs; `input_sizes`: the shape of each input that all this is
    counted for, by name.

    `nonzero_params` and `gzip_bytes` are `None` in an estimate: only the file can tell.
    """

    params: int
    nonzero_params: int | None
    macs: int
    file_bytes: int
    gzip_bytes: int | None
    packed_bytes: int
    peak_activation_bytes: int
    annotation_bytes: int = 0
    uncounted_ops: tuple[str, ...] = ()
    input_sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Profile":
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        sizes = {name: tuple(shape) for name, shape in values.get("input_sizes", {}).items()}
        operators = tuple(values["uncounted_ops"])
        return cls(**{**values, "uncounted_ops": operators, "input_sizes": sizes})

    @property
    def content_bytes(self) -> int:
        """Bytes of the file without notes: what sizes are compared by."""
        return content_bytes(asdict(self))


def content_bytes(profile: Mapping[str, Any]) -> int:
    """Bytes of a file without notes, from its profile as JSON."""
    return int(profile["file_bytes"] - profile.get("annotation_bytes", 0))


@dataclass(frozen=True)
class Latency:
    """Measured time of one inference.

    `min_s`, the fastest run, is what is shown; `ratio` is that of the fastest runs.
    `ratio` is time(this) / time(reference) by interleaved minima, with an interval by
    subsampling that the A/A control widens;
    1.0 when there is no reference. `reliable` is False when the machine was too noisy to trust it,
    `quiet` when it was never quiet before the start.
    """

    median_s: float
    iqr_s: float
    min_s: float
    runs: int
    threads: int
    runtime: str
    reliable: bool
    ratio: float
    ratio_low: float
    ratio_high: float
    control_ratio: float
    reference_median_s: float | None = None
    reference_iqr_s: float | None = None
    quiet: bool = True

    @property
    def reference_min_s(self) -> float:
        """The fastest run of the reference, in the same measurement."""
        return self.min_s / self.ratio

    def of_reference(self) -> "Latency":
        """The reference's own time, from the same measurement, and no ratio."""
        assert self.reference_median_s is not None
        assert self.reference_iqr_s is not None
        doubt = max(self.control_ratio, 1 / self.control_ratio)
        its_own = replace(
            self,
            median_s=self.reference_median_s,
            iqr_s=self.reference_iqr_s,
            min_s=self.reference_min_s,
            ratio=1.0,
            ratio_low=1 / doubt,
            ratio_high=doubt,
        )
        return its_own.alone()

    def alone(self) -> "Latency":
        """The same without what is known of a reference."""
        return replace(self, reference_median_s=None, reference_iqr_s=None)

    @property
    def changed(self) -> bool:
        """True when the interval of the ratio excludes 1: the difference is measurable."""
        return not self.ratio_low <= 1.0 <= self.ratio_high


@dataclass(frozen=True)
class Quality:
    """Measured quality on real samples.

    `metric` is one of `metrics.METRICS`: `accuracy`, `top5` or `binary` (shares of right answers
    with Wilson's 95 % interval), `r2` or `mae` (of real-valued labels, with a bootstrap's),
    `agreement` (share of samples with the reference's top class) or `snr_db` (signal-to-noise ratio
    of the outputs against the reference's, in dB). Of `mae` less is better, of all others more.
    `reference_value` is the same metric of the reference model; `p_value` is McNemar's exact test
    of the two accuracies, where both are known.
    """

    metric: str
    value: float
    low: float
    high: float
    samples: int
    reference_value: float | None = None
    p_value: float | None = None


def points_lost(quality: Quality, output_error: float) -> float:
    """How much worse than the reference, as the metric's `loss` counts it: points of a share or R².

    Of a mean absolute error, percent of the reference's; of noise, the output error in percent.
    `output_error` is the squared error of the outputs relative to the variance of the reference's.
    """
    if quality.metric == "snr_db":
        return 100 * output_error
    assert quality.reference_value is not None  # whoever asks has scored both
    lost = METRICS[quality.metric].loss(quality.value, quality.reference_value)
    return round(lost, DIGITS)


@dataclass(frozen=True)
class LayerPlan:
    """What will happen to one layer, and the reason where something asked for won't.

    `channels` and `kept` count output channels; `sparsity` is the fraction of its remaining
    weights set to zero; `weight_bits` is the width it gets, `storage` the type in the file.

    `removable` is how many of its channels are prunable, whatever the recipe asks; `unprunable` the
    reason where none is. `skipped_reasons` and `unprunable_reason` say as values what these two
    sentences say. `group` names the channel group it belongs to (several where a tensor is split),
    `shrinks_with` the other layers of it, and `joined_by` the nodes that tie them.
    `closed` layers are quantized already or stand inside a subgraph, and are left as they are.
    """

    name: str
    op: str
    channels: int
    kept: int
    sparsity: float
    weight_bits: int
    storage: str
    skipped: str | None = None
    skipped_reasons: tuple[Reason, ...] = ()
    group: str | None = None
    shrinks_with: tuple[str, ...] = ()
    joined_by: tuple[str, ...] = ()
    removable: int = 0
    unprunable: str | None = None
    unprunable_reason: Reason | None = None
    closed: bool = False

    @property
    def storage_type(self) -> StorageType:
        """What `storage` names, of a layer that isn't closed."""
        return STORAGE_TYPES[self.storage]

    @property
    def constraint(self) -> str:
        """Why something asked for won't happen, or else why no channel is prunable; or nothing."""
        return self.skipped or self.unprunable or ""


@dataclass(frozen=True)
class GroupPlan:
    """Channels that live and die together: the layers they belong to and those removed.

    `removed` holds positions among the group's own channels, ascending. `joined_by` are the nodes
    that tie the layers together; `guard` says why the channels go only if the recipe asks for
    widths, and is None where they may go anyway.
    """

    name: str
    members: tuple[str, ...]
    channels: int
    removed: tuple[int, ...]
    joined_by: tuple[str, ...] = ()
    guard: str | None = None


@dataclass(frozen=True)
class Plan:
    """What this graph allows of a recipe; `apply` carries it out to the letter.

    `others` sums up the parameters that belong to no layer of the table.
    """

    model_id: str
    recipe: Recipe
    layers: tuple[LayerPlan, ...]
    groups: tuple[GroupPlan, ...]
    others: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The `plan` object of the command line's JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Plan":
        """The inverse of `to_dict`, also after a way through JSON."""
        groups = [
            {**group, **{key: tuple(group[key]) for key in ("members", "removed", "joined_by")}}
            for group in values["groups"]
        ]
        return cls(
            model_id=values["model_id"],
            recipe=Recipe.from_json(json.dumps(values["recipe"])),
            layers=tuple(_layer_plan(layer) for layer in values["layers"]),
            groups=tuple(GroupPlan(**group) for group in groups),
            others=values.get("others", ""),
        )


def _layer_plan(values: Mapping[str, Any]) -> LayerPlan:
    rows = {key: tuple(values[key]) for key in ("shrinks_with", "joined_by")}
    skipped = tuple(Reason.from_dict(each) for each in values.get("skipped_reasons", ()))
    unprunable = values.get("unprunable_reason")
    reasons = {
        "skipped_reasons": skipped,
        "unprunable_reason": Reason.from_dict(unprunable) if unprunable else None,
    }
    return LayerPlan(**{**values, **rows, **reasons})


@dataclass(frozen=True)
class Report:
    """Everything known about one model; what wasn't measured is None."""

    model_id: str
    name: str
    profile: Profile
    latency: Latency | None = None
    quality: Quality | None = None

    def to_dict(self) -> dict[str, Any]:
        """The command line's JSON object for one model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Report":
        """The inverse of `to_dict`, for values that crossed a process boundary."""
        latency, quality = values.get("latency"), values.get("quality")
        return cls(
            model_id=values["model_id"],
            name=values["name"],
            profile=Profile.from_dict(values["profile"]),
            latency=Latency(**latency) if latency else None,
            quality=Quality(**quality) if quality else None,
        )
