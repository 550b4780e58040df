"""What is asked, what came out, and what a method is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from benchmarks.quality.samples import Sample, accuracy_of


@dataclass(frozen=True)
class Setting:
    """What is asked of a network; what stands at its default isn't asked.

    `macs_removed`: the least share of the multiply-accumulates that goes with whole channels;
    `zeros`: the share of all weights that become zero; `two_of_four`: two of four neighbours along
    the input channels become zero. `granularity`, `channel` or `tensor`, is that of weights;
    activations have one scale per tensor.
    """

    macs_removed: float = 0.0
    zeros: float = 0.0
    two_of_four: bool = False
    weight_bits: int = 32
    activation_bits: int = 32
    granularity: str = "channel"

    @property
    def masks(self) -> bool:
        """True where single weights become zero."""
        return self.zeros > 0 or self.two_of_four

    @property
    def title(self) -> str:
        """What to call it in a table."""
        parts = []
        if self.macs_removed:
            parts.append(f"channels, {self.macs_removed:.0%} of the MACs")
        if self.zeros:
            parts.append(f"unstructured, {self.zeros:.0%} of the weights")
        if self.two_of_four:
            parts.append("2:4")
        if self.activation_bits < 32:
            parts.append(
                f"weights {self.weight_bits} bits per {self.granularity}, "
                f"activations {self.activation_bits} bits"
            )
        elif self.weight_bits < 32:
            parts.append(f"weights {self.weight_bits} bits")
        return " + ".join(parts).replace("%", " %")


@dataclass(frozen=True)
class Outcome:
    """Accuracy on the whole test set, in [0, 1].

    `removed` is the share of the multiply-accumulates, or of the weights, that is really gone, and
    None where only bits go. `note` says what a reader must know to judge the number.
    """

    accuracy: float
    removed: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A way to compress: `run(sample, setting, seed)`, None where it doesn't do a setting.

    A method that is not `seeded` gives the same for every seed and is run for the first one only.
    """

    title: str
    run: Callable[[Sample, Setting, int], Outcome | None]
    seeded: bool = False


def settings_of(sample: str) -> tuple[Setting, ...]:
    """The settings that a sample network is compressed with, in the order of the table's rows."""
    shares = {
        "fashion_resnet": (0.35, 0.5, 0.75),
        "fashion_mobilenet": (0.4, 0.6),
        "language_transformer": (0.35,),
    }
    return (
        *(Setting(macs_removed=share) for share in shares.get(sample, (0.5,))),
        Setting(zeros=0.8),
        Setting(zeros=0.9),
        Setting(two_of_four=True),
        *(Setting(weight_bits=bits) for bits in (8, 4, 3, 2)),
        Setting(weight_bits=8, activation_bits=8),
        Setting(weight_bits=8, activation_bits=8, granularity="tensor"),
        Setting(macs_removed=0.35, weight_bits=4),
    )


def best_of(models: Mapping[str, onnx.ModelProto], sample: Sample, tool: str) -> Outcome:
    """The outcome of the best of the ways in which a tool makes a model.

    The test set itself chooses, in the tool's favour; the note says which one that was.
    """
    accuracies = {name: accuracy_of(model, sample) for name, model in models.items()}
    best = max(accuracies, key=accuracies.__getitem__)
    return Outcome(accuracies[best], note=f"{tool}: {best}")
