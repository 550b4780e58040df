"""What changed, drawn as HTML: classes, confusion matrix, predictions, weights.

Names and texts are anybody's, so all are escaped. No Streamlit here.
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from explorer.digits import signed
from explorer.render.cards import UNKNOWN
from explorer.render.charts import PALETTE
from explorer.render.text import format_count

MOST_CLASSES = 20  # of a table or a matrix
MOST_CONFUSIONS = 6
KINDS = {"lost": "now wrong", "won": "corrected", "moved": "still wrong", "": "changed"}
TILE = 112  # pixels of a series


class Names:
    """What classes are called: by name where that is known, else by number."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    def __getitem__(self, number: int) -> str:
        known = 0 <= number < len(self.classes)
        return escape(self.classes[number] if known else f"class {number}")


def classes_html(changes: Mapping[str, Any], names: Names) -> str:
    """Each class before and after, the one that lost most first."""
    rows = [
        (after - before, number, samples, before, after)
        for number, (samples, before, after) in enumerate(
            zip(changes["samples"], changes["before"], changes["after"], strict=True)
        )
        if samples
    ]
    shown = sorted(rows)[:MOST_CLASSES]
    lines = [_class_line(names[number], *counts) for _, number, *counts in shown]
    what = "classified correctly" if changes["labelled"] else "classified like the original"
    head = "<th>Class</th><th>Samples</th><th>Original</th><th>Compressed</th><th></th>"
    left = len(rows) - len(shown)
    more = f"<p class='ce-more'>Other classes, with smaller losses or none: {left}.</p>"
    more = more if left else ""
    return (
        f'<table class="ce-classes"><thead><tr>{head}</tr></thead>{"".join(lines)}</table>{more}'
        f"<p class='ce-more'>The share of each class's samples that are {what}, and its change in "
        "percentage points.</p>"
    )


def _class_line(name: str, samples: int, before: int, after: int) -> str:
    old, new = before / samples, after / samples
    tone = "good" if after > before else "bad" if after < before else "even"
    low, high = min(old, new), max(old, new)
    bar = (
        f'<span class="ce-span"><i style="width:{100 * low:.1f}%"></i>'
        f'<b class="{tone}" style="width:{100 * (high - low):.1f}%"></b></span>'
    )
    change = signed(100 * (new - old), 1)
    return (
        f'<tr><th scope="row">{name}</th><td>{samples}</td><td>{100 * old:.1f} %</td>'
        f'<td>{100 * new:.1f} % <em class="{tone}">{change}</em></td><td>{bar}</td></tr>'
    )


def confusion_html(changes: Mapping[str, Any], names: Names) -> str:
    """The difference of the confusion matrices, compressed minus original."""
    matrix = changes["confusion"]
    if matrix is None:
        return "<p class='ce-more'>There are too many classes for a confusion matrix.</p>"
    told = _confusions_html(matrix, names)
    used = [i for i, count in enumerate(changes["samples"]) if count]
    if len(used) > MOST_CLASSES or not any(any(row) for row in matrix):
        return told
    most = max((abs(matrix[row][column]) for row in used for column in used), default=0) or 1
    head = "".join(f"<th scope='col'><span>{names[column]}</span></th>" for column in used)
    lines = "".join(
        f'<tr><th scope="row">{names[row]}</th>'
        + "".join(_cell(matrix[row][column], most, row == column) for column in used)
        + "</tr>"
        for row in used
    )
    return (
        f'{told}<div class="ce-scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'<table class="ce-matrix"><thead><tr><td></td>{head}</tr></thead>{lines}</table></div>'
        "<p class='ce-more'>Rows: true class; columns: predicted class. Number of samples, "
        "compressed minus original.</p>"
    )


def _cell(change: int, most: int, is_right: bool) -> str:
    if not change:
        return "<td></td>"
    tone = "good" if (change > 0) == is_right else "bad"
    text = signed(change)
    return f'<td class="{tone}" style="--share:{100 * abs(change) / most:.0f}%">{text}</td>'


def _confusions_html(matrix: Sequence[Sequence[int]], names: Names) -> str:
    """The confusions that grew most, in words."""
    grown = sorted(
        (
            (count, row, column)
            for row, counts in enumerate(matrix)
            for column, count in enumerate(counts)
            if row != column and count > 0
        ),
        reverse=True,
    )[:MOST_CONFUSIONS]
    if not grown:
        return "<p class='ce-more'>No pair of classes is confused more often than before.</p>"
    words = [f"<li>{names[row]} → {names[column]} <b>+{n}</b></li>" for n, row, column in grown]
    return f'<ul class="ce-confusions" aria-label="Confused more often">{"".join(words)}</ul>'


def flips_html(
    changes: Mapping[str, Any],
    pictures: Sequence[Mapping[str, Any]],
    names: Names,
    characters: str = "",
) -> str:
    """The changed predictions, those of the compressed model's highest confidence first."""
    flipped = changes["flipped"]
    if not changes["flips"]:
        return "<p class='ce-more'>No prediction changed.</p>"
    if changes["labelled"]:
        lost, won, moved = (int(flipped[kind]) for kind in ("lost", "won", "moved"))
        counts = f"{lost} now wrong, {won} corrected, {moved} still wrong, but with another class."
    else:
        counts = f"Predictions that differ from the original's: {int(flipped['lost'])}."
    tiles = "".join(
        _flip(flip, picture, names, characters)
        for flip, picture in zip(changes["flips"], pictures, strict=True)
    )
    return (
        f"<p class='ce-more'>{counts} Shown: the {len(pictures)} with the highest confidence of "
        f'the compressed model.</p><ol class="ce-flips">{tiles}</ol>'
    )


def _flip(
    flip: Mapping[str, Any], picture: Mapping[str, Any], names: Names, characters: str
) -> str:
    kind = flip["kind"] if flip["label"] is not None else ""
    is_text = "tokens" in picture
    label = f"label: {names[flip['label']]}," if flip["label"] is not None else ""
    return (
        f'<li class="{"ce-wide" if is_text else ""}">{_picture(picture, characters)}'
        f"<span><s>{names[flip['before']]}</s> → {names[flip['after']]}</span>"
        f'<small>{label} <em class="{kind}">{KINDS[kind]}</em></small></li>'
    )


def _picture(picture: Mapping[str, Any], characters: str) -> str:
    """A sample, as `explorer.measure.pictures` tells it."""
    if "image" in picture:
        return f'<img alt="" src="data:image/png;base64,{_checked(picture["image"])}">'
    if "lines" in picture:
        return _lines(picture["lines"])
    tokens = [int(token) for token in picture["tokens"]]
    if characters:
        text = "".join(characters[t - 1] if 0 < t <= len(characters) else "\ufffd" for t in tokens)
    else:
        text = " ".join(map(str, tokens))
    return f'<q dir="auto">{escape(text)}</q>'


def _checked(text: str) -> str:
    """Base64 of a picture; what a confined process sends may be anything."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        return ""


def _lines(rows: Sequence[Sequence[float]]) -> str:
    """Series over their steps, as a picture: Streamlit lets no drawing into its own page."""
    paths = []
    for number, row in enumerate(rows):
        step = TILE / max(1, len(row) - 1)
        points = " ".join(
            f"{at * step:.1f},{(1 - float(value)) * (TILE - 6) + 3:.1f}"
            for at, value in enumerate(row)
        )
        colour = PALETTE[number % len(PALETTE)]
        paths.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {TILE} {TILE}">{"".join(paths)}'
    encoded = base64.b64encode(f"{drawn}</svg>".encode()).decode()
    return f'<img alt="" class="ce-series" src="data:image/svg+xml;base64,{encoded}">'


def histogram_html(told: Mapping[str, Any]) -> str:
    """The weights of a layer before, as an outline, and after, filled."""
    before, after = told["before"], told["after"]
    counts = [*before["counts"], *after["counts"]]
    # Where weights were zeroed, their bar would dwarf all others.
    highest = (sorted(counts)[-2] if after["zeros"] else max(counts)) or 1
    bins = "".join(
        f'<span><i style="height:{_height(new, highest)}"></i>'
        f'<b style="height:{_height(old, highest)}"></b></span>'
        for old, new in zip(before["counts"], after["counts"], strict=True)
    )
    least, most = (_signed(told["edges"][at]) for at in (0, -1))
    return (
        f'<div class="ce-weights" role="img" aria-label="Distribution of the weights">{bins}</div>'
        f'<p class="ce-axis"><span>{least}</span><span>0</span><span>{most}</span></p>'
        f'<p class="ce-more"><span class="ce-key before"></span>original: {_weights_text(before)} '
        f'<span class="ce-key"></span>compressed: {_weights_text(after)} '
        "Heights are square roots of counts; the highest bar may be clipped.</p>"
    )


def _height(count: int, highest: int) -> str:
    return f"{100 * min(1.0, math.sqrt(count / highest)):.1f}%"


def _weights_text(told: Mapping[str, Any]) -> str:
    count, zeros, levels = told["weights"], told["zeros"], told["levels"]
    share = f"{100 * zeros / count:.0f} % zeros" if zeros else "no zeros"
    values = f"{int(levels)} different values" if levels is not None else "too many values to count"
    return f"{format_count(count) if count else UNKNOWN} weights, {share}, {values}."


def _signed(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
