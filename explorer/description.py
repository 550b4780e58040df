"""What a model, its samples and the machine are, as values; loads nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.network import Layer, Shape, TensorSpec

PROBABILITY = 0.5  # the threshold between two classes


@dataclass(frozen=True)
class Host:
    """The machine that numbers come from.

    `has_vnni` says whether 8-bit dot products are fast there; None where that isn't known. `leaks`
    is what a confined process could do there although it shouldn't.
    """

    cpu: str
    cores: int
    runtime: str
    has_vnni: bool | None
    leaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """A metric, the `reason` why it was chosen as part of a sentence, and what else fits.

    `output` is the place of the output that is scored. `threshold` parts two classes where that
    output is a single number.
    """

    metric: str
    reason: str
    possible: tuple[str, ...]
    output: int = 0
    threshold: float = PROBABILITY


@dataclass(frozen=True)
class Relabelling:
    """A numbering that fits better: class `numbers[label]` for each label, with both accuracies."""

    numbers: tuple[int, ...]
    accuracy: float
    reassigned: float

    @property
    def moved(self) -> tuple[int, ...]:
        """The labels that get another number."""
        return tuple(label for label, number in enumerate(self.numbers) if label != number)


@dataclass(frozen=True)
class Description:
    """A model that is open, and its samples, of which there may be 0.

    `remarks` are sentences about what was not done with it, or assumed. `labelled` says that the
    samples have labels, `made_up` that they are random inputs. `scoring` is how quality is
    measured, where that is settled.
    """

    id: str
    name: str
    remarks: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[Layer, ...]
    samples: int
    labelled: bool
    made_up: bool
    scoring: Scoring | None = None


@dataclass(frozen=True)
class Artifact:
    """A compressed model that was written to `path`; the path is empty where it is kept in memory.

    `input_sizes` are the shapes that it is counted and timed with, by input. `not_reconstructed`
    says why its weights weren't reconstructed; None where they were. `weight_only` says that only
    its weights are quantized.
    """

    path: str
    model_id: str
    name: str
    input_sizes: Mapping[str, Shape]
    not_reconstructed: str | None
    weight_only: bool

    def arguments(self) -> dict[str, Any]:
        """The file as an argument of a task in `explorer.jobs.tasks`."""
        return {"path": self.path, "name": self.name, "input_sizes": self.input_sizes}
