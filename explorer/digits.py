"""Numbers as people read them: true signs, no zero with one, and ranges.

The panel writes them alike (`explorer/widget/js/format.js`): halves go to the even digit.
"""

MINUS, ALMOST_ZERO = "−", "≈ 0"


def fixed(value: float, digits: int = 0) -> str:
    """With so many decimals: −5.8; never −0.0."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(change: float, digits: int = 0) -> str:
    """A change with its sign: +2.00, −0.31; ≈ 0 where no digit of it is shown."""
    text = f"{change:+.{digits}f}"
    if float(text) == 0:
        return ALMOST_ZERO if change else "0"
    return text.replace("-", MINUS)


def speedup(ratio: float) -> str:
    """A ratio of latencies in words; "same speed" where no digit differs.

    >>> speedup(0.75), speedup(1.2), speedup(1.001)
    ('1.33× faster', '1.20× slower', 'same speed')
    """
    factor = fixed(1 / ratio if ratio < 1 else ratio, 2)
    if factor == "1.00":
        return "same speed"
    return f"{factor}× {'faster' if ratio < 1 else 'slower'}"


def three_digits(value: float) -> str:
    """Three significant digits, and at most two decimals: 356, 77.8, 1.42, 0.05."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def interval(low: str, high: str) -> str:
    """Two numbers of one unit as a range: 90.00–92.00 %; −5.8 to −3.2 dB where a sign is in it."""
    unit = high[len(high.rstrip("% dB")) :]
    between = " to " if MINUS in low else "–"
    return f"{low.removesuffix(unit)}{between}{high}"
