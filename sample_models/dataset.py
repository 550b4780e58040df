"""What every data set of the sample models is: four parts, and the facts that the build needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FOLDER = Path(__file__).parent
PACKAGES = (
    FOLDER / "packages"
)  # for the archives that the data sets without a Debian package are in


@dataclass(frozen=True)
class Samples:
    """Samples and their class numbers.

    `x`: (samples, ...), as the `.npz` file holds them; `y`: uint8 (samples,).
    """

    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: npt.NDArray[np.intp]) -> "Samples":
        """Pick the samples at `index`, in that order."""
        return Samples(self.x[index], self.y[index])


@dataclass(frozen=True)
class Split:
    """A data set in four parts; nothing of the training or test part is in another.

    `train.x` may be larger than what a network takes: the data set's `augment` cuts it out.
    """

    train: Samples
    validation: Samples
    calibration: Samples
    test: Samples


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: where it is from, what a network takes of it, how to load and augment it.

    `test`, `calibration` and `others` describe its files here.
    `input` and `dtype` are the name and type of a network's input, `shape` is that of one sample.
    `augment` maps training samples (batch, ...) to as many of `shape`, at random.
    """

    name: str
    classes: tuple[str, ...]
    licence: str
    source: str
    test: str
    calibration: str
    input: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Split]
    augment: Callable[[Tensor, torch.Generator], Tensor]
    others: Mapping[Path, str] = field(default_factory=dict)

    @cached_property
    def split(self) -> Split:
        """The samples, read once."""
        return self.load()

    @property
    def test_file(self) -> Path:
        """Where the test samples lie, with labels."""
        return FOLDER / f"{self.name}_test.npz"

    @property
    def calibration_file(self) -> Path:
        """Where the calibration samples lie, without labels."""
        return FOLDER / f"{self.name}_calibration.npz"

    @property
    def files(self) -> dict[Path, str]:
        """All files of the data set in this folder, with a description each."""
        return {
            self.test_file: self.test,
            self.calibration_file: self.calibration,
            **self.others,
        }
