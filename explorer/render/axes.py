"""Round numbers and straight lines for charts."""

import math
import re
from collections.abc import Callable

from explorer.digits import MINUS
from explorer.metrics import DECIBELS, PERCENT
from explorer.render.text import format_bytes, format_count

STEPS = (1, 2, 2.5, 5, 10)

Scale = Callable[[float], float]


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """The straight line from [low, high] to [start, end]."""
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, few: int) -> list[float]:
    """Round numbers between two, about so many; none where there is nothing between."""
    if not high > low:
        return []
    rough = (high - low) / few
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(each for each in STEPS if each * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def cost_text(cost: str, value: float) -> str:
    """A cost as a tick says it: 50 kB, 1.5 M; a latency as its ratio to the original's, 0.7."""
    if cost == "latency":
        return f"{round(value, 2):g}"
    text = format_bytes(value) if cost == "file_bytes" else format_count(value)
    return re.sub(r"(\.\d*?)0+(?=\s|$)", r"\1", text).replace(". ", " ").rstrip(".")


def quality_text(unit: str, value: float) -> str:
    """A quality as a tick says it: 92.5 %, 30 dB, 0.95."""
    if unit == PERCENT:
        return f"{round(100 * value, 2):g} %"
    text = f"{value:g} dB" if unit == DECIBELS else f"{value:.6g}"
    return text.replace("-", MINUS)
