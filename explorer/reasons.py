"""Why something of a network is left alone, or not treated as asked.

A value decides, its sentence is for people: code compares reasons or their `code`, never the words.
What a rule of the channel trace says of a layer's channels is written in that rule (`held`), as
nothing is decided by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ON_REQUEST = "is only pruned where hidden dimensions are pruned too"
UNKNOWN_SHAPE = " (unknown shape)"  # behind an operator that could not be counted for that reason


@dataclass(frozen=True)
class Reason:
    """A stable `code`, and what to say of one thing: `is already stored in 8 bits`.

    `several` says it of more than one, for reasons that whole lists of layers share.
    """

    code: str
    sentence: str
    several: str = ""

    def __str__(self) -> str:
        return self.sentence

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Reason":
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        return cls(**values)


def sentence_of(*reasons: Reason | None) -> str | None:
    """All of them in a row; None where there is none."""
    return "; ".join(str(reason) for reason in reasons if reason is not None) or None


# Layers that no recipe changes.


def quantized(bits: int) -> Reason:
    """The weights are integers of so many bits in the file that was opened."""
    stored = f"already stored in {bits} bits"
    return Reason("quantized", f"is {stored}", f"are {stored}")


def inside(op: str, name: str) -> Reason:
    """The layer's node is in a subgraph of this one."""
    place = f"inside {op} {name!r}"
    return Reason("inside", f"stands {place}", f"stand {place}")


def fused(op: str, name: str) -> Reason:
    """The weight is one of an operator of ONNX Runtime's own that does several things in one."""
    owner = f"to the fused operator {op} {name!r}"
    return Reason("fused", f"belongs {owner}", f"belong {owner}")


# Layers that can't lose a channel.

HIDDEN_WIDTH = "hidden_width"  # the code of `on_request`
COUPLED = Reason("coupled", "none of its channels can be pruned without another layer's")


def on_request(guard: str) -> Reason:
    """Its channels are a hidden width; `guard` says of what: `is averaged over by ...`."""
    return Reason(HIDDEN_WIDTH, f"{guard}, so it {ON_REQUEST}")


def held(sentence: str) -> Reason:
    """The graph holds its channels, as the rule for the operator that does so says."""
    return Reason("held", sentence)


# Layers that aren't treated as a recipe asks.

RATIO_WITHOUT_PATTERN = Reason("no_pattern", "has a ratio, but the pattern is 'none'")
MISREAD_INT2 = Reason(
    "misread", "is stored in int4, as ONNX Runtime misreads int2 unless outputs are a multiple of 4"
)
NO_GROUPS = Reason("no_groups", "is quantized per-channel: integer kernels don't support groups")


def indivisible(count: int, axis: str, parts: str) -> Reason:
    """A pattern doesn't fit: so many channels, `input` or `output`, make no whole `parts`."""
    noun = "channel" if count == 1 else "channels"
    return Reason("indivisible", f"{count} {axis} {noun} can't be divided into {parts}")


def too_large(largest: float) -> Reason:
    """A weight of this magnitude would be infinite in float16."""
    return Reason("too_large", f"holds a weight of {largest:,.6g}; float16 ends at 65,504")


def needs_opset(storage: str, opset: int, obstacle: str) -> Reason:
    """A storage type needs an opset to which the graph can't be raised."""
    return Reason(
        "opset", f"{storage} needs opset {opset}, which the graph can't be raised to: {obstacle}"
    )


# Weights that aren't reconstructed.

SWITCHED_OFF = Reason("switched_off", "it is switched off")
NO_SAMPLES = Reason("no_samples", "there are no calibration samples")
NOTHING_LOST = Reason(
    "nothing_lost", "nothing was removed, and rounding to 8 bits or more needs none"
)
BRANCHES = Reason("branches", "the graph has branches or loops")
MADE_WORSE = Reason(
    "made_worse", "it made the outputs worse on samples held out from the calibration"
)


@dataclass(frozen=True)
class Uncounted:
    """An operator that the MACs leave out: no formula is known, or (`lacks_shape`) a shape isn't.

    >>> str(Uncounted("Conv", lacks_shape=True))
    'Conv (unknown shape)'
    """

    operator: str
    lacks_shape: bool = False

    def __str__(self) -> str:
        return f"{self.operator}{UNKNOWN_SHAPE if self.lacks_shape else ''}"

    @classmethod
    def from_text(cls, text: str) -> "Uncounted":
        """The inverse of `str`, which is how a profile and its JSON list them."""
        operator = text.removesuffix(UNKNOWN_SHAPE)
        return cls(operator, lacks_shape=operator != text)
