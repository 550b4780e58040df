"""What quality can be measured by: how each metric is called, written, and which way is better."""

import math
from dataclasses import dataclass
from types import MappingProxyType

from explorer.digits import MINUS, fixed, signed

PERCENT, DECIBELS, PLAIN = "%", "dB", ""  # units: a share in percent, decibels, a bare number
TINY = 1e-12  # a mean absolute error below this is none
MOST_DIGITS = 9  # after the point
CLASS_METRICS = ("accuracy", "top5", "binary")  # those that count right answers
MOST_LOST = 1e6  # percent of an error that was next to nothing


@dataclass(frozen=True)
class Metric:
    """One metric; `falls` says that less is better, `is_labelled` that it needs labels.

    `title` stands at the head of a number, `noun` in a sentence. `least` is how much of it a chart
    shows at least above and below its values; where it `falls`, as a share of them.
    """

    name: str
    title: str
    noun: str
    definition: str
    unit: str = PERCENT
    falls: bool = False
    is_labelled: bool = True
    least: float = 0.005

    @property
    def is_share(self) -> bool:
        """True for shares of samples, 0 to 1."""
        return self.unit == PERCENT

    def least_at(self, value: float) -> float:
        """How much a chart shows at least above and below values like this one."""
        return self.least * abs(value) if self.falls else self.least

    def text(self, value: float) -> str:
        """A value with its unit: 91.44 %, 23.1 dB, 0.932."""
        if self.unit == PERCENT:
            return f"{fixed(100 * value, 2)} %"
        return f"{fixed(value, 1)} dB" if self.unit == DECIBELS else plain(value)

    def change_text(self, change: float) -> str:
        """A difference with its sign: −2.99 pp (percentage points), +1.20 dB, −0.012."""
        if self.unit == PERCENT:
            return f"{signed(100 * change, 2)} pp"
        if self.unit == DECIBELS:
            return f"{signed(change, 2)} dB"
        return f"{MINUS if change < 0 else '+'}{plain(abs(change))}"

    def gain(self, value: float, reference: float) -> float:
        """How much better a value is than the reference, in the metric's own unit."""
        return reference - value if self.falls else value - reference

    def loss(self, value: float, reference: float) -> float:
        """How much worse: in percentage points or hundredths, or in percent of an error."""
        if not self.falls:
            return 100 * (reference - value)
        return min(100 * (value - reference) / max(reference, TINY), MOST_LOST)


def plain(value: float) -> str:
    """A bare number with three digits: 0.932, 12.3, 1,234, 0.000420.

    >>> plain(0.93214), plain(12.345), plain(1234.2)
    ('0.932', '12.3', '1,234')
    """
    if not math.isfinite(value):
        return f"{value}".replace("-", MINUS)
    power = int(f"{value:.2e}".partition("e")[2])  # of the number as it is written
    digits = min(max(2 - power, 0), MOST_DIGITS) if value else 3
    return fixed(value, digits) if digits else f"{value:,.0f}".replace("-", MINUS)


METRICS = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                "accuracy",
                "Accuracy",
                "accuracy",
                "Share of the samples with the right class. The interval is Wilson's 95 % "
                "confidence interval for this number of samples.",
            ),
            Metric(
                "top5",
                "Top-5 accuracy",
                "top-5 accuracy",
                "Share of the samples whose class is among the five with the highest scores, with "
                "Wilson's 95 % interval.",
            ),
            Metric(
                "binary",
                "Binary accuracy",
                "binary accuracy",
                "Share of the samples that one output classifies correctly at its threshold: 0.5 "
                "for a probability, 0 for a logit. The interval is Wilson's 95 % interval.",
            ),
            Metric(
                "r2",
                "R²",
                "R²",
                "Coefficient of determination: 1 minus the squared error over the variance of the "
                "labels. 1 is perfect, 0 is no better than the mean. The 95 % interval is from a "
                "bootstrap.",
                unit=PLAIN,
            ),
            Metric(
                "mae",
                "Mean absolute error",
                "mean absolute error",
                "Mean absolute difference between output and label, in the labels' unit; less is "
                "better. The 95 % interval is from a bootstrap.",
                unit=PLAIN,
                falls=True,
            ),
            Metric(
                "agreement",
                "Agreement",
                "agreement",
                "Without labels: share of the samples where the compressed model predicts the same "
                "class as the original, with Wilson's 95 % interval.",
                is_labelled=False,
            ),
            Metric(
                "snr_db",
                "SQNR (output)",
                "output SQNR",
                "Signal-to-quantization-noise ratio of the outputs: power of the original's "
                "outputs over the power of the difference, in decibels.",
                unit=DECIBELS,
                is_labelled=False,
                least=1.0,
            ),
        )
    }
)
CHOICES = tuple(name for name in METRICS if name != "snr_db")  # what a person can ask for
