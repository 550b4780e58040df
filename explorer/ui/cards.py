"""The five cards: compressed, original and difference of each headline number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from explorer.report import Latency, Quality
from explorer.text import format_bytes, format_count, format_quality, format_seconds
from explorer.ui.trials import View
from explorer.ui.words import DEFINITIONS, METRICS, NAIVE

UNKNOWN = "–"
SAME = "no change"
NOT_MEASURABLE = "not measurable"
PROFILE_CARDS = (
    ("file_bytes", "File size", format_bytes),
    ("params", "Parameters", format_count),
    ("macs", "MACs", format_count),
)
EXACT = "exact"
SIGNIFICANCE = 0.05
ESTIMATE_WITHIN = {"file_bytes": "± 1 %"}  # what an estimate promises
KINDS = {  # where a number comes from: what the card says, and what that means
    "measured": ("measured", "Counted in the written file, or timed and scored on this machine."),
    "first": ("first 500 samples", "Of the first samples alone; the others are being scored."),
    "noisy": ("measured, noisy", "The machine was busy while this was timed."),
    "estimated": ("estimated", "Computed from the plan; the file is being written."),
    "previous": ("setting before", "Of the setting before; the new number is on its way."),
    "coming": ("measuring …", "The number is on its way."),
    "unknown": ("not known", "This could not be measured."),
    "made_up": ("on random inputs", "There are no samples: give some for an accuracy."),
    "unscored": ("no samples", "Add an .npz file with samples to have the model scored."),
}


@dataclass(frozen=True)
class Card:
    """One quantity; `tone` is good, bad or even, `kind` says where the number comes from.

    `note` is a sentence below the numbers.
    """

    title: str
    definition: str
    value: str = UNKNOWN
    original: str = UNKNOWN
    difference: str = UNKNOWN
    interval: str = UNKNOWN
    kind: str = "measured"
    tone: str = "even"
    note: str = ""


def cards(view: View, busy: bool) -> list[Card]:
    """File size, parameters, MACs, latency, quality."""
    made = [*_profile_cards(view), _latency_card(view), _quality_card(view)]
    waiting = "coming" if busy else "unknown"
    shown = [replace(card, kind=waiting) if card.value == UNKNOWN else card for card in made]
    if view.original.get("model", {}).get("samples") == 0:
        shown[-1] = replace(shown[-1], kind="unscored")
    return shown


def cards_html(shown: Sequence[Card]) -> str:
    """The cards as one grid."""
    return f'<div class="ce-cards">{"".join(_card_html(card) for card in shown)}</div>'


def relative(before: float, after: float) -> str:
    """The change in percent: −91 %; with a decimal where it is small."""
    if before == after:
        return SAME
    if not before:
        return UNKNOWN
    change = 100 * (after - before) / before
    return f"{change:+.{0 if abs(change) >= 9.95 else 1}f} %".replace("-", "−")


def _profile_cards(view: View) -> Iterator[Card]:
    before, after = view.original.get("profile"), view.compressed.get("profile")
    for key, title, text in PROFILE_CARDS:
        card = Card(title, DEFINITIONS[key], kind=_kind(view, "profile"))
        if before:
            card = replace(card, original=text(before[key]))
        if after:
            within = ESTIMATE_WITHIN.get(key, EXACT) if view.estimated else EXACT
            card = replace(card, value=text(after[key]), interval=within)
        if before and after:
            difference = relative(before[key], after[key])
            card = replace(card, difference=difference, tone=_tone(after[key] - before[key]))
        yield card


def _latency_card(view: View) -> Card:
    """Of the fastest runs, so that times and their ratio tell the same story on a busy machine."""
    card = Card("Latency", DEFINITIONS["latency"], kind=_kind(view, "latency"))
    before, after = _latency(view.original), _latency(view.compressed)
    if before:
        card = replace(card, original=format_seconds(before.min_s))
    if after is None:
        return card
    noisy = card.kind == "measured" and not after.reliable
    return replace(
        card,
        value=format_seconds(after.min_s),
        original=format_seconds(after.min_s / after.ratio),
        difference=relative(1.0, after.ratio) if after.changed else NOT_MEASURABLE,
        interval=f"{after.ratio_low:.2f}–{after.ratio_high:.2f} ×",
        tone=_tone(after.ratio - 1) if after.changed else "even",
        kind="noisy" if noisy else card.kind,
    )


def _quality_card(view: View) -> Card:
    before, after = _quality(view.original), _quality(view.compressed)
    metric = after.metric if after else before.metric if before else "accuracy"
    described = view.original.get("model", {})
    if not (before or after) and described.get("samples") and not described.get("labelled"):
        metric = "agreement"
    kind = _kind(view, "quality")
    if view.first_samples and kind == "measured":
        kind = "first"
    if described.get("made_up") and kind == "measured":
        kind = "made_up"
    card = Card(METRICS[metric], DEFINITIONS[metric], kind=kind)
    if before:
        card = replace(card, original=format_quality(before))
    if after is None:
        return card
    reference = after.reference_value
    if reference is not None:
        card = replace(
            card,
            original=format_quality(after, reference),
            difference=_points(after, reference),
            tone=_tone(reference - after.value) if _significant(after) else "even",
        )
    low, high = format_quality(after, after.low), format_quality(after, after.high)
    return replace(
        card,
        value=format_quality(after),
        interval=f"{low.removesuffix(' %').removesuffix(' dB')}–{high}",
        note=_naive_note(view, after),
    )


def _naive_note(view: View, refitted: Quality) -> str:
    """What the same setting comes to without refitting, and how much refitting wins."""
    if view.naive is None:
        return "naive: measuring …" if view.naive_coming else ""
    naive = Quality(**view.naive)
    won = _points(refitted, naive.value)
    if won == SAME:
        return f"naive {format_quality(naive)}: refitting changes nothing"
    verb = "loses" if won.startswith("−") else "wins"
    return f"naive {format_quality(naive)}: refitting {verb} {won[1:]}"


def _significant(quality: Quality) -> bool:
    """False where the samples can't tell the two models apart."""
    return quality.p_value is None or quality.p_value <= SIGNIFICANCE


def _points(quality: Quality, reference: float) -> str:
    change = quality.value - reference
    if change == 0:
        return SAME
    unit, scale = ("dB", 1) if quality.metric == "snr_db" else ("points", 100)
    return f"{scale * change:+.2f} {unit}".replace("-", "−")


def _latency(parts: Mapping[str, Any]) -> Latency | None:
    return Latency(**parts["latency"]) if parts.get("latency") else None


def _quality(parts: Mapping[str, Any]) -> Quality | None:
    return Quality(**parts["quality"]) if parts.get("quality") else None


def _kind(view: View, part: str) -> str:
    if part in view.stale:
        return "previous"
    return "estimated" if part == "profile" and view.estimated else "measured"


def _tone(growth: float) -> str:
    return "good" if growth < 0 else "bad" if growth > 0 else "even"


def _card_html(card: Card) -> str:
    kind, note = KINDS[card.kind]
    rows = [("original", card.original, ""), ("difference", card.difference, f"ce-{card.tone}")]
    rows.append(("95 % interval", card.interval, ""))
    lines = "".join(
        f'<dt>{label}</dt><dd class="{style}">{escape(text)}</dd>' for label, text, style in rows
    )
    note = f'<p class="ce-naive" title="{NAIVE}">{escape(card.note)}</p>' if card.note else ""
    return (
        f'<section class="ce-card ce-{card.kind}" aria-label="{escape(card.title)}">'
        f"<header><h3>{escape(card.title)}</h3>{_tip(card.title, card.definition)}</header>"
        f'<p class="ce-value">{escape(card.value)}</p>'
        f'<p class="ce-kind" title="{escape(note)}">{kind}</p>'
        f"<dl>{lines}</dl>{note}</section>"
    )


def _tip(title: str, text: str) -> str:
    return (
        f'<span class="ce-tip" tabindex="0" role="note" aria-label="{escape(title)}: '
        f'{escape(text)}"><span aria-hidden="true">?</span>'
        f'<span class="ce-tip-text" aria-hidden="true">{escape(text)}</span></span>'
    )
