"""The six numbers of the panel: compressed, original and difference of each headline number."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from explorer.digits import ALMOST_ZERO, fixed, interval, signed, speedup
from explorer.metrics import METRICS
from explorer.render.labels import NUMBERS
from explorer.render.text import format_bytes, format_count, format_quality, format_seconds
from explorer.render.words import ANNOTATIONS, DEFINITIONS, WITHOUT
from explorer.report import Latency, Profile, Quality
from explorer.runs import View

UNKNOWN = "–"
SAME = "no change"
NOT_MEASURABLE = "not measurable"
SIZE_TEXTS = {  # how each size of a profile is written
    "file_bytes": format_bytes,
    "gzip_bytes": format_bytes,
    "packed_bytes": format_bytes,
    "params": format_count,
    "nonzero_params": format_count,
    "macs": format_count,
    "peak_activation_bytes": format_bytes,
}
SIZE_CARDS = ("file_bytes", "params", "macs", "peak_activation_bytes")
LEAST_ANNOTATED = 0.02  # share of the original file that is worth a note
SIGNIFICANCE = 0.05
ESTIMATE_WITHIN = {"file_bytes": "± 1 %"}  # what an estimate promises
KINDS = {  # where a number comes from: what the card says, and what that means
    "computed": ("computed", "Computed from the graph and the bytes of the written file."),
    "measured": ("measured", "Timed or scored on this machine."),
    "first": ("first samples", "Scored on the first samples; the others are being scored."),
    "quick": (
        "quick, refining …",
        "Scored on a few samples, after a quick reconstruction; the file's own accuracy follows.",
    ),
    "noisy": ("measured, noisy", "The machine was busy during the measurement."),
    "estimated": ("estimated", "Computed from the plan; the file is being written."),
    "queued": ("queued", "Other jobs are ahead in the queue."),
    "coming": ("measuring …", "This is being measured."),
    "unknown": ("not known", "This could not be measured."),
    "made_up": ("on random inputs", "There are no samples: add some to measure accuracy."),
    "unscored": ("no samples", "Add an .npz file with samples to have the model scored."),
}


@dataclass(frozen=True)
class Card:
    """One quantity; `tone` is good, bad or even, `kind` says where the number comes from.

    `note` is a sentence below the numbers, `note_help` what it means. `amount` and `before` are the
    bare numbers of now and of the original, `full` what a bar is part of where it isn't the
    original. `unit` is that of a quality, and `falls` says that less is better.
    """

    key: str
    title: str
    definition: str
    value: str = UNKNOWN
    original: str = UNKNOWN
    difference: str = UNKNOWN
    interval: str = UNKNOWN
    kind: str = "measured"
    tone: str = "even"
    note: str = ""
    note_help: str = ""
    amount: float | None = None
    before: float | None = None
    full: float | None = None
    unit: str = ""
    falls: bool = True


def cards(view: View, busy: bool, queued: str = "") -> list[Card]:
    """File size, parameters, MACs, peak activation memory, latency, quality.

    `queued` says where in the queue the work stands, which then is where a number will come.
    """
    made = [*_profile_cards(view), _latency_card(view), _quality_card(view)]
    kind = "queued" if queued else "coming" if busy else "unknown"
    text = queued or UNKNOWN
    shown = [replace(c, kind=kind, value=text) if c.value == UNKNOWN else c for c in made]
    if view.original.samples == 0:
        shown[-1] = replace(shown[-1], kind="unscored", value=UNKNOWN)
    return shown


def numbers(shown: Sequence[Card]) -> list[dict[str, Any]]:
    """The cards as the panel reads them (`js/numbers.js`)."""
    return [_number(card) for card in shown]


def relative(before: float, after: float) -> str:
    """The change in percent: −91 %; with a decimal where it is small."""
    if before == after:
        return SAME
    if not before:
        return UNKNOWN
    change = 100 * (after - before) / before
    return f"{signed(change, 0 if abs(change) >= 9.95 else 1)} %"


def size_cells(
    keys: Iterable[str], before: Profile | None, after: Profile | None
) -> dict[str, tuple[str, str, str]]:
    """By the keys of sizes: before, after, and the difference, as far as they are known."""
    cells = {}
    for key in keys:
        old, new = (getattr(profile, key, None) for profile in (before, after))
        texts = [UNKNOWN if size is None else SIZE_TEXTS[key](size) for size in (old, new)]
        difference = UNKNOWN if old is None or new is None else relative(old, new)
        cells[key] = (texts[0], texts[1], difference)
    return cells


def _profile_cards(view: View) -> Iterator[Card]:
    before, after = view.original.profile, view.profile
    kind = "estimated" if view.is_estimated else "computed"
    for key in SIZE_CARDS:
        text = SIZE_TEXTS[key]
        card = Card(key, NUMBERS[key], DEFINITIONS[key], kind=kind)
        if before is not None:
            amount = _compared(before, key)
            card = replace(card, original=text(amount), before=amount)
            notes = before.annotation_bytes
            if key == "file_bytes" and notes >= LEAST_ANNOTATED * before.file_bytes:
                card = replace(card, note=_annotation_note(before), note_help=ANNOTATIONS)
        if after is not None:
            within = ESTIMATE_WITHIN.get(key, UNKNOWN) if view.is_estimated else UNKNOWN
            amount = getattr(after, key)
            card = replace(card, value=text(amount), interval=within, amount=amount)
        if before is not None and after is not None:
            amounts = _compared(before, key), _compared(after, key)
            tone = _tone(amounts[1] - amounts[0])
            card = replace(card, difference=relative(*amounts), tone=tone)
        yield card


def _compared(profile: Profile, key: str) -> int:
    """A count as it is compared: files without the notes in them."""
    return profile.content_bytes if key == "file_bytes" else int(getattr(profile, key))


def _annotation_note(original: Profile) -> str:
    notes, size = original.annotation_bytes, original.file_bytes
    return (
        f"without {format_bytes(notes)} of exporter metadata, "
        f"{100 * notes / size:.0f} % of the original file"
    )


def _latency_card(view: View) -> Card:
    """Of the fastest runs, so that times and their ratio tell the same story on a busy machine."""
    card = Card("latency", NUMBERS["latency"], DEFINITIONS["latency"])
    before, after = view.original.latency, view.latency
    if before is not None:
        card = replace(card, original=format_seconds(before.min_s), before=before.min_s)
    if after is None:
        return card
    return replace(
        card,
        value=format_seconds(after.min_s),
        original=format_seconds(after.min_s / after.ratio),
        amount=after.min_s,
        before=after.min_s / after.ratio,
        difference=speedup(after.ratio) if after.changed else NOT_MEASURABLE,
        interval=_speedup_interval(after),
        tone=_tone(after.ratio - 1) if after.changed and after.reliable else "even",
        kind="measured" if after.reliable else "noisy",
    )


def _speedup_interval(latency: Latency) -> str:
    """As the difference counts: 1.28–1.41× faster; as a ratio where it contains 1."""
    low, high = latency.ratio_low, latency.ratio_high
    if low <= 1 <= high:
        return f"ratio {interval(fixed(low, 2), fixed(high, 2))}"
    ends = (1 / high, 1 / low) if high < 1 else (low, high)
    return f"{interval(*(fixed(end, 2) for end in ends))}×"


def _quality_card(view: View) -> Card:
    before, after = view.original.quality, view.quality or view.quick_quality
    described = view.original.description
    scored = after or before
    metric = scored.metric if scored is not None else "accuracy"
    if scored is None and described is not None and described.samples and not described.labelled:
        metric = "agreement"
    kind = "quick" if view.quick_quality else "first" if view.is_on_first else "measured"
    if described is not None and described.made_up and kind == "measured":
        kind = "made_up"
    card = Card("quality", METRICS[metric].title, DEFINITIONS[metric], kind=kind)
    shown = METRICS[metric]
    card = replace(card, full=1.0 if shown.is_share else None, unit=shown.unit, falls=shown.falls)
    if before is not None:
        card = replace(card, original=format_quality(before), before=before.value)
    if after is None:
        return card
    reference = after.reference_value
    if reference is not None:
        card = replace(
            card,
            original=format_quality(after, reference),
            before=reference,
            difference=_change_text(after, reference),
            tone=_tone(-shown.gain(after.value, reference)) if _significant(after) else "even",
        )
    low, high = format_quality(after, after.low), format_quality(after, after.high)
    return replace(
        card,
        value=format_quality(after),
        amount=after.value,
        interval=interval(low, high),
        note=_without_note(view, after),
        note_help=WITHOUT,
    )


def _without_note(view: View, reconstructed: Quality) -> str:
    """The quality without weight reconstruction, and how much reconstruction gains."""
    without = view.run.unreconstructed if view.run is not None else None
    if without is None:
        return "without reconstruction: measuring …" if view.awaits_unreconstructed else ""
    text = f"without reconstruction: {format_quality(without)}"
    change = _change_text(reconstructed, without.value)
    if change == SAME or change.startswith(ALMOST_ZERO):
        return f"{text} ({change})"
    is_gain = METRICS[reconstructed.metric].gain(reconstructed.value, without.value) > 0
    return f"{text} (reconstruction {'gains' if is_gain else 'loses'} {change[1:]})"


def _significant(quality: Quality) -> bool:
    """False where the samples can't tell the two models apart."""
    return quality.p_value is None or quality.p_value <= SIGNIFICANCE


def _change_text(quality: Quality, reference: float) -> str:
    change = quality.value - reference
    return SAME if change == 0 else METRICS[quality.metric].change_text(change)


def _tone(growth: float) -> str:
    return "good" if growth < 0 else "bad" if growth > 0 else "even"


def _number(card: Card) -> dict[str, Any]:
    """With spaces before units that never break."""
    kind, note = KINDS[card.kind]
    shown = {
        "text": card.value,
        "original_text": card.original,
        "difference": "" if card.difference == UNKNOWN else card.difference,
        "interval": "" if card.interval == UNKNOWN else card.interval,
    }
    return {
        "key": card.key,
        "title": card.title,
        "definition": card.definition,
        "value": card.amount,
        "original": card.before,
        "full": card.full,
        "unit": card.unit,
        "falls": card.falls,
        "tone": card.tone,
        **{name: re.sub(r"(?<=\d) (?=\D)", "\u00a0", text) for name, text in shown.items()},
        "kind": card.kind,
        "kind_text": kind,
        "kind_note": note,
        "note": card.note,
        "note_help": card.note_help if card.note else "",
    }
