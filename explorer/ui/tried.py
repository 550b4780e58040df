"""Every run on the open model, as the Trade-offs page shows it: marks and table rows.

No Streamlit here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any

from explorer.digits import fixed, interval, speedup
from explorer.metrics import METRICS
from explorer.recipe import Recipe
from explorer.render.axes import cost_text
from explorer.render.axes import quality_text as quality_tick
from explorer.render.cards import UNKNOWN
from explorer.render.labels import NUMBERS, ORIGINAL, PATTERNS, QUANTIZATION_ONLY, RECIPE
from explorer.render.text import NOT_RELIABLE, format_bytes, format_count, format_quality
from explorer.render.tradeoff_charts import Axis, Mark
from explorer.render.words import describe
from explorer.report import Latency, Profile, Quality
from explorer.runs import Original, Run
from explorer.storage_types import STORAGE_TYPES
from explorer.workspace.results import UNTAGGED, Tag

ORIGINAL_KEY = Recipe().to_json()  # asks for nothing: the model as it was opened


def percent_text(share: float) -> str:
    """A share in whole percent: 30 %."""
    return f"{fixed(100 * share)} %"


COSTS = {
    key: Axis(key, NUMBERS[title], text, partial(cost_text, tick))
    for key, title, text, tick in (
        ("file_bytes", "file_bytes", format_bytes, "file_bytes"),
        ("macs", "macs", format_count, "macs"),
        ("peak_activation_bytes", "peak_activation_bytes", format_bytes, "file_bytes"),
        ("latency", "latency_ratio", "{:.2f}".format, "latency"),
    )
}
SETTINGS = tuple(
    Axis(key, RECIPE[key].replace(" ", "<br>"), text, text)
    for key, text in (("ratio", percent_text), ("weight_bits", str), ("activation_bits", str))
)


@dataclass(frozen=True)
class Kept:
    """What is left of a layer; a closed one has no `weight_bits` that could be chosen."""

    name: str
    channels: int
    sparsity: float
    weight_bits: int | None
    closed: bool


@dataclass(frozen=True)
class Result:
    """One run with all that is known of it; what isn't is None."""

    recipe: Recipe
    name: str
    is_pinned: bool
    is_original: bool
    profile: Profile | None
    latency: Latency | None
    quality: Quality | None
    layers: Sequence[Kept]
    note: str = ""

    @property
    def key(self) -> str:
        """What tells settings apart."""
        return self.recipe.to_json()

    @property
    def setting(self) -> str:
        """The setting in words."""
        return "original" if self.is_original else describe(self.recipe)

    @property
    def label(self) -> str:
        """The name with the setting, or the setting alone."""
        return f"{self.name} ({self.setting})" if self.name else self.setting

    @property
    def values(self) -> dict[str, float | None]:
        """What can stand on an axis."""
        profile = self.profile
        return {
            "file_bytes": profile.content_bytes if profile else None,
            "macs": profile.macs if profile else None,
            "peak_activation_bytes": profile.peak_activation_bytes if profile else None,
            "latency": self.latency.ratio if self.latency else None,
            "quality": self.quality.value if self.quality else None,
            "ratio": self.recipe.ratio if self.recipe.prunes_by_ratio else 0.0,
            "weight_bits": self.recipe.weight_bits,
            "activation_bits": self.recipe.activation_bits,
        }


def results_of(
    original: Original, runs: Sequence[Run], tags: Mapping[str, Tag]
) -> tuple[Result, ...]:
    """The original and every run, pinned ones first, then the oldest.

    `tags` are by recipes as JSON.
    """
    others = (run for run in runs if run.recipe.to_json() != ORIGINAL_KEY)
    found = [_original(original), *map(_tried, others)]
    named = [_tagged(each, tags) for each in found if each.profile is not None]
    return tuple(sorted(named, key=lambda each: not each.is_pinned))


def _tagged(result: Result, tags: Mapping[str, Tag]) -> Result:
    tag = tags.get(result.key, UNTAGGED)
    return replace(result, name=tag.name, is_pinned=tag.is_pinned, note=tag.note)


def labels_of(results: Sequence[Result]) -> dict[str, str]:
    """A label for each run by its key; of those alike, the later ones are numbered."""
    labels: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for each in results:
        seen[each.label] += 1
        number = seen[each.label]
        labels[each.key] = each.label if number == 1 else f"{each.label}, {number}"
    return labels


def quality_axis(results: Sequence[Result]) -> Axis | None:
    """How quality is written; None where nothing has any."""
    scored = next((each.quality for each in results if each.quality), None)
    if scored is None:
        return None
    metric = METRICS[scored.metric]
    return Axis(
        key="quality",
        title=metric.title,
        text=metric.text,
        tick=partial(quality_tick, metric.unit),
        unit=metric.unit,
        least=metric.least_at(scored.value),
        falls=metric.falls,
    )


def marks_of(results: Sequence[Result]) -> list[Mark]:
    """The results as charts draw them."""
    return [
        Mark(
            key=each.key,
            name=escape(each.name),
            label=_label_html(each),
            kind=_kind(each),
            values=each.values,
            intervals=_intervals(each),
            unsure=frozenset() if is_reliable(each) else frozenset({"latency"}),
        )
        for each in results
    ]


def columns_of(results: Sequence[Result], front: Sequence[str]) -> dict[str, list[Any]]:
    """The table; `front` are the keys of the Pareto-optimal runs."""
    values = [each.values for each in results]
    return {
        "pinned": [each.is_pinned for each in results],
        "name": [each.name for each in results],
        "setting": [each.setting for each in results],
        "front": [each.key in front for each in results],
        **{
            axis: [value[axis] for value in values]
            for axis in ("file_bytes", "macs", "peak_activation_bytes", "latency")
        },
        "timing": [_timing(each) for each in results],
        "quality": [value["quality"] for value in values],
        "note": [each.note for each in results],
    }


def is_reliable(result: Result) -> bool:
    """False where the latency was timed on a busy machine; that of the original is the unit."""
    return result.latency is None or result.latency.reliable or result.is_original


def _timing(result: Result) -> str | None:
    if result.latency is None:
        return None
    return "reliable" if is_reliable(result) else NOT_RELIABLE


def numbers_text(result: Result) -> str:
    """The numbers of a run in a line."""
    words = [
        f"{axis.title} {axis.text(value)}"
        for name, axis in COSTS.items()
        if name != "latency" and (value := result.values[name]) is not None
    ]
    if result.latency is not None and not result.is_original:
        doubt = "" if is_reliable(result) else f" ({NOT_RELIABLE})"
        words.append(f"{speedup(result.latency.ratio)}{doubt}")
    if result.quality:
        words.append(f"{METRICS[result.quality.metric].title} {quality_text(result.quality)}")
    return ", ".join(words)


def quality_text(quality: Quality) -> str:
    """With its interval: 91.00 % (90.00–92.00 %)."""
    low, high = (format_quality(quality, value) for value in (quality.low, quality.high))
    return f"{format_quality(quality)} ({interval(low, high)})"


def latency_text(latency: Latency | None) -> str:
    """The ratio with its interval: 0.55 (0.50–0.60); of the original 1."""
    if latency is None:
        return UNKNOWN
    if latency.ratio_low == latency.ratio_high == 1.0:
        return "1"
    ends = interval(fixed(latency.ratio_low, 2), fixed(latency.ratio_high, 2))
    doubt = "" if latency.reliable else f", {NOT_RELIABLE}"
    return f"{fixed(latency.ratio, 2)} ({ends}){doubt}"


def _original(original: Original) -> Result:
    described, latency = original.description, original.latency
    layers = [
        Kept(
            layer.name,
            layer.channels,
            sparsity=0.0,
            weight_bits=None if layer.closed else STORAGE_TYPES[layer.dtype].bits,
            closed=layer.closed is not None,
        )
        for layer in (described.layers if described is not None else ())
    ]
    result = _result(Recipe(), original, layers)
    if latency is None:
        return result
    unit = replace(latency, ratio=1.0, ratio_low=1.0, ratio_high=1.0)
    return replace(result, latency=unit)  # what all ratios are to, however itself was timed


def _tried(run: Run) -> Result:
    layers = [
        Kept(layer.name, layer.kept, layer.sparsity, layer.weight_bits, layer.closed)
        for layer in run.layers
    ]
    return _result(run.recipe, run, layers)


def _result(recipe: Recipe, measured: Original | Run, layers: Sequence[Kept]) -> Result:
    return Result(
        recipe=recipe,
        name="",
        is_pinned=False,
        is_original=recipe.to_json() == ORIGINAL_KEY,
        profile=measured.profile,
        latency=measured.latency,
        quality=measured.quality,
        layers=layers,
    )


def _kind(result: Result) -> str:
    if result.is_original:
        return ORIGINAL
    plain = result.recipe.pattern == "none"
    return QUANTIZATION_ONLY if plain else PATTERNS[result.recipe.pattern]


def _intervals(result: Result) -> dict[str, tuple[float, float]]:
    found = {}
    if result.quality:
        found["quality"] = (result.quality.low, result.quality.high)
    if result.latency:
        found["latency"] = (result.latency.ratio_low, result.latency.ratio_high)
    return found


def _label_html(result: Result) -> str:
    lines = [f"<b>{escape(result.name)}</b>"] if result.name else []
    return "<br>".join([*lines, escape(result.setting), escape(numbers_text(result))])
