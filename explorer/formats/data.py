"""Samples and labels from `.npz` archives, checked against the model that they are for."""

import hashlib
import io
import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError, reason_of
from explorer.model import Model, TensorSpec

Array = npt.NDArray[np.generic]
LABELS, SINGLE_INPUT = "y", "x"
# What numpy and zipfile raise on damaged, encrypted and made-up archives.
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
LARGEST_LABEL = 2**31


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples by input name, each (samples, ...), and integer labels (samples,) or None.

    `id` is the SHA-256 of the file they came from, or of the arrays.
    """

    inputs: dict[str, Array] = field(repr=False)
    labels: npt.NDArray[np.int64] | None = field(repr=False)
    id: str

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def head(self, count: int) -> "Dataset":
        """The first `count` samples."""
        if count >= len(self):
            return self
        inputs = {name: array[:count] for name, array in self.inputs.items()}
        labels = self.labels[:count] if self.labels is not None else None
        return replace(self, inputs=inputs, labels=labels, id=f"{self.id}:{count}")

    def batches(self, model: Model, size: int) -> Iterator[dict[str, Array]]:
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


def fixed_batch(model: Model) -> int | None:
    """The batch size that a model insists on, or None where it takes any."""
    for spec in model.inputs:
        if spec.shape and isinstance(spec.shape[0], int):
            return spec.shape[0]
    return None


def load_data(
    source: "Dataset | Mapping[str, Array] | str | os.PathLike[str] | bytes",
    model: Model,
    title: str | None = None,
) -> Dataset:
    """Read samples and check that they fit a model.

    Arrays are named after the model's inputs (or `x` where there is just one) and hold values as
    the model expects them; integers are cast. `y` holds integer class labels. `title` is what to
    call the archive in a message, by default its path.

    Raises:
        DataError: the archive can't be read, or names, shapes, types or values don't fit.
    """
    if isinstance(source, Dataset):
        return source
    arrays, digest = _read(source, title)
    labels = arrays.pop(LABELS, None) if LABELS not in [x.name for x in model.inputs] else None
    specs = model.inputs
    if len(specs) == 1 and SINGLE_INPUT in arrays and specs[0].name not in arrays:
        arrays[specs[0].name] = arrays.pop(SINGLE_INPUT)
    wanted, given = {spec.name for spec in specs}, set(arrays)
    if wanted != given:
        raise DataError(
            f"The data has arrays named {_listed(given)}, but the model's inputs are "
            f"{_listed(wanted)}; name the arrays after the inputs, and the labels {LABELS!r}."
        )
    inputs = {spec.name: _fitting(arrays[spec.name], spec) for spec in specs}
    counts = {len(array) for array in inputs.values()}
    if len(counts) > 1 or 0 in counts:
        raise DataError("Each input needs the same number of samples, and at least one.")
    return Dataset(inputs, _checked_labels(labels, counts.pop()), digest)


def _read(
    source: "Mapping[str, Array] | str | os.PathLike[str] | bytes", title: str | None
) -> tuple[dict[str, Array], str]:
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return arrays, digest.hexdigest()
    if isinstance(source, bytes):
        data, title = source, title or "The data"
    else:
        path = Path(source)
        try:
            data, title = path.read_bytes(), title or str(path)
        except FileNotFoundError as error:
            raise DataError(f"There is no data file {path}.") from error
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            raise DataError(f"{path} can't be read: {reason}.") from error
    return _unpack(data, title), hashlib.sha256(data).hexdigest()


def _unpack(data: bytes, title: str) -> dict[str, Array]:
    hint = "save the arrays with numpy.savez(path, x=samples, y=labels)"
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise DataError(f"{title} is not an .npz archive, or it is cut short; {hint}.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise DataError(f"{title} has an array that can't be read; {hint}.") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{title} holds {name!r}, which is not an array; {hint}.")
    return arrays


def _fitting(array: Array, spec: TensorSpec) -> Array:
    if not spec.shape:
        raise DataError(f"Input {spec.name!r} is a single number, so the model takes no samples.")
    expected = " x ".join(str(dim) for dim in spec.shape[1:]) or "no further dimension"
    fits = array.ndim == len(spec.shape) and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.shape[1:], array.shape[1:], strict=False)
    )
    if not fits:
        found = " x ".join(str(size) for size in array.shape)
        raise DataError(
            f"Input {spec.name!r} expects samples of {expected}, but the array is {found} "
            "(samples first)."
        )
    kind = array.dtype.kind
    if kind not in "fiub":
        raise DataError(f"Input {spec.name!r} holds {array.dtype} values; it must hold numbers.")
    if kind == "f":
        if not np.isfinite(array).all():
            raise DataError(
                f"Input {spec.name!r} holds values that are not finite numbers (NaN or infinity); "
                "remove these samples."
            )
        limit = np.finfo(spec.dtype).max if spec.dtype.startswith("float") else np.inf
        if array.size and np.abs(array).max() > limit:
            raise DataError(f"Input {spec.name!r} holds values too large for {spec.dtype}.")
        if not spec.dtype.startswith("float") and (array != np.rint(array)).any():
            raise DataError(f"Input {spec.name!r} takes {spec.dtype}, but the array has fractions.")
    return array


def _checked_labels(labels: Array | None, samples: int) -> npt.NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.dtype.kind not in "iu":
        raise DataError(f"The labels are of type {labels.dtype}; they must be whole numbers.")
    labels = labels.reshape(-1) if labels.shape == (samples, 1) else labels
    if labels.shape != (samples,):
        found = " x ".join(str(size) for size in labels.shape) or "a single number"
        raise DataError(f"The labels are {found}, but there are {samples} samples; give one each.")
    if labels.min() < 0:
        raise DataError(f"The labels reach from {labels.min()}; they must start at 0.")
    if labels.max() > LARGEST_LABEL:
        raise DataError(f"The labels reach {labels.max()}, which is no class number.")
    return labels.astype(np.int64)


def _listed(names: set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "nothing"
