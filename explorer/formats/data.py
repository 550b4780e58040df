"""Samples and labels from `.npz` archives, checked against the model that they are for."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError, reason_of
from explorer.formats import npz
from explorer.formats.arrangement import arranged, fits
from explorer.names import cleaned
from explorer.network import Network, TensorSpec, ValueRange

Array = npz.Array
NUMBERS = frozenset(  # element types of inputs that samples can have
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
)
LARGEST_WHOLE = 2**53  # beyond which floats have gaps

Labels = npt.NDArray[Any]  # int64 or float64


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples by input name, each (samples, ...), and their labels or None.

    Labels are integers (class numbers, or whole values) or floats: (samples,), or (samples,
    targets) where there are several values for each sample. `id` is the SHA-256 of the file they
    came from, or of the arrays; `notes` are sentences that tell what was assumed.
    """

    inputs: dict[str, Array] = field(repr=False)
    labels: Labels | None = field(repr=False)
    id: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def head(self, count: int) -> "Dataset":
        """The first `count` samples."""
        if count >= len(self):
            return self
        inputs = {name: array[:count] for name, array in self.inputs.items()}
        labels = self.labels[:count] if self.labels is not None else None
        return replace(self, inputs=inputs, labels=labels, id=f"{self.id}:{count}")

    def part(self, places: npt.NDArray[np.int64], name: str) -> "Dataset":
        """The samples at some places; `name` tells parts of the same samples apart."""
        inputs = {key: array[places] for key, array in self.inputs.items()}
        labels = self.labels[places] if self.labels is not None else None
        return replace(self, inputs=inputs, labels=labels, id=f"{self.id}:{name}")

    def batches(self, model: Network, size: int) -> Iterator[dict[str, Array]]:
        """Feeds of at most `size` samples in the model's own types, in order.

        A model with a fixed batch gets exactly that many; the last feed repeats its last sample.
        """
        specs = {spec.name: spec for spec in model.inputs}
        fixed = fixed_batch(model)
        step = fixed or size
        for start in range(0, len(self), step):
            feed = {}
            for name, array in self.inputs.items():
                part = array[start : start + step].astype(specs[name].dtype)
                if fixed and len(part) < fixed:
                    part = np.concatenate([part, np.repeat(part[-1:], fixed - len(part), axis=0)])
                feed[name] = part
            yield feed


def fixed_batch(model: Network) -> int | None:
    """The batch size that a model insists on, or None where it takes any."""
    for spec in model.inputs:
        if spec.shape and isinstance(spec.shape[0], int):
            return spec.shape[0]
    return None


def load_data(
    source: "Dataset | Mapping[str, Array] | str | os.PathLike[str] | bytes",
    model: Network,
    title: str | None = None,
) -> Dataset:
    """Read samples and check that they fit a model.

    Arrays are named after the model's inputs (or `x` where there is just one), or are told by shape
    and type (`arrangement.arranged`), and hold values as the model expects them; integers are cast.
    `y` holds labels: class numbers, real values, or rows with a 1 at the place of the class.
    `title` is what to call the archive in a message, by default its path.

    Raises:
        DataError: the archive can't be read, or names, shapes, types or values don't fit.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, Mapping | str | os.PathLike | bytes):
        raise DataError(
            f"The data is of type {type(source).__name__}; give a path, the bytes of an .npz, or a "
            "mapping from the names of the model's inputs to arrays."
        )
    arrays, digest = _read(source, title)
    return fitted(arrays, digest, model.inputs)


def fitted(arrays: Mapping[str, Array], digest: str, specs: Sequence[TensorSpec]) -> Dataset:
    """Arrays by name as samples for a model with the inputs `specs`; named as for `load_data`.

    Raises:
        DataError: names, shapes, types or values don't fit.
    """
    found = arranged(arrays, specs)
    inputs = {spec.name: _fitting(found.inputs[spec.name], spec) for spec in specs}
    counts = {len(array) for array in inputs.values()}
    if len(counts) > 1 or 0 in counts:
        raise DataError("Each input needs the same number of samples, and at least one.")
    return Dataset(inputs, _checked_labels(found.labels, counts.pop()), digest, found.notes)


def _read(
    source: "Mapping[str, Array] | str | os.PathLike[str] | bytes", title: str | None
) -> tuple[dict[str, Array], str]:
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        content = hashlib.sha256()
        for name in sorted(arrays):
            content.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
            content.update(np.ascontiguousarray(arrays[name]).tobytes())
        return arrays, content.hexdigest()
    if isinstance(source, bytes):
        return npz.read_arrays(source, title or "The data"), hashlib.sha256(source).hexdigest()
    path = Path(source)
    try:
        digest = file_digest(path)
    except FileNotFoundError as error:
        raise DataError(f"There is no data file {path}.") from error
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise DataError(f"{path} can't be read: {reason}.") from error
    return npz.read_arrays(path, title or str(path)), digest


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fitting(array: Array, spec: TensorSpec) -> Array:
    name = cleaned(spec.name)
    if not spec.shape:
        raise DataError(f"Input {name!r} is a single number, so the model takes no samples.")
    if spec.dtype not in NUMBERS:
        raise DataError(
            f"Input {name!r} takes {cleaned(spec.dtype)} values, which samples can't have."
        )
    expected = " x ".join(cleaned(str(dim)) for dim in spec.shape[1:]) or "no further dimension"
    if not fits(array, spec):
        found = " x ".join(str(size) for size in array.shape)
        raise DataError(
            f"Input {name!r} expects samples of {expected}, but the array is {found} "
            "(samples first)."
        )
    if array.dtype.kind not in "fiub":
        shown = cleaned(str(array.dtype))
        raise DataError(f"Input {name!r} holds {shown} values; it must hold numbers.")
    if array.size and array.dtype.kind != "b":
        _check_values(array, name, spec.dtype)
    if array.size and spec.values is not None:
        _check_indices(array, name, spec.values)
    return array


def _check_indices(array: Array, name: str, allowed: ValueRange) -> None:
    """Refuse indices that a table doesn't have; fractions are cut off, as the graph does."""
    least, most = int(array.min()), int(array.max())
    if least < allowed.low or most > allowed.high:
        value = most if most > allowed.high else least
        raise DataError(
            f"Input {name!r} holds {value}, but its values are indices into "
            f"{cleaned(allowed.table)!r}, which has {allowed.low} to {allowed.high}; give values "
            "in this range."
        )


def _check_values(array: Array, name: str, dtype: str) -> None:
    """Refuse values that the element type of an input doesn't have."""
    low, high = array.min(), array.max()  # NaN if there is any
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(
            f"Input {name!r} holds values that are not finite numbers (NaN or infinity); "
            "remove these samples."
        )
    if dtype.startswith("float") and max(-float(low), float(high)) > float(np.finfo(dtype).max):
        raise DataError(f"Input {name!r} holds values too large for {dtype}.")
    if array.dtype.kind == "f" and not dtype.startswith("float") and (array % 1 != 0).any():
        raise DataError(f"Input {name!r} takes {dtype}, but the array has fractions.")
    if dtype.startswith(("int", "uint")):
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if int(low) < least or int(high) > most:
            raise DataError(
                f"Input {name!r} takes {dtype}, {least} to {most}, but the array reaches from "
                f"{low} to {high}."
            )


def _checked_labels(labels: Array | None, samples: int) -> Labels | None:
    """Whole numbers as integers, others as floats: (samples,), or (samples, targets)."""
    if labels is None:
        return None
    if labels.dtype.kind not in "iufb":
        shown = cleaned(str(labels.dtype))
        raise DataError(f"The labels are of type {shown}; they must be numbers.")
    if labels.ndim not in (1, 2) or len(labels) != samples or not labels.size:
        found = " x ".join(str(size) for size in labels.shape) or "a single number"
        raise DataError(f"The labels are {found}, but there are {samples} samples; give one each.")
    labels = labels.reshape(-1) if labels.shape[1:] == (1,) else labels
    wide = labels.astype(np.float64)
    if not np.isfinite(wide).all():
        raise DataError(
            "The labels hold values that are not finite numbers (NaN or infinity); remove these "
            "samples."
        )
    if _is_one_hot(wide):
        return np.asarray(wide.argmax(axis=1), np.int64)
    is_whole = (wide % 1 == 0).all() and np.abs(wide).max() <= LARGEST_WHOLE
    return wide.astype(np.int64) if is_whole else wide


def _is_one_hot(labels: npt.NDArray[np.float64]) -> bool:
    """True for rows of zeros with a single 1, which says the class by its place."""
    if labels.ndim != 2 or not ((labels == 0) | (labels == 1)).all():
        return False
    return bool((labels.sum(axis=1) == 1).all())
