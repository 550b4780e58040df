"""Which array of an archive is for which input, and in what order its axes lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.names import cleaned, listed
from explorer.network import TensorSpec

Array = npt.NDArray[np.generic]
LABELS, SINGLE_INPUT = "y", "x"
LABEL_WORDS = frozenset("y label labels target targets class classes gt truth".split())
INPUT_WORDS = frozenset("x data image images input inputs features samples arr_0".split())
PARTS = ("test", "eval", "val", "valid")  # of an archive that holds several sets, best first
CHANNELS = (1, 3, 4)
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Arrays by input, samples first, the labels if there are any, and what was assumed."""

    inputs: dict[str, Array]
    labels: Array | None
    notes: tuple[str, ...]


def arranged(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Arrangement:
    """Arrays by the names of the inputs (`x` where there is one), the labels being `y`.

    Where names say nothing, by shape and type, if these leave no doubt. Axes in another order are
    turned, and an axis of one sample or one channel is added, where only that fits.

    Raises:
        DataError: it isn't clear which array is for which input.
    """
    names = _by_name(arrays, specs) or _by_shape(arrays, specs)
    if names is None:
        raise DataError(
            f"The data has arrays named {listed(sorted(arrays))}, but the model's inputs are "
            f"{listed(sorted(spec.name for spec in specs))}; name the arrays after the inputs, and "
            f"the labels {LABELS!r}."
        )
    inputs, notes = dict[str, Array](), []
    for spec in specs:
        array, note = in_order(arrays[names[spec.name]], spec)
        inputs[spec.name] = array
        if names[spec.name] not in (spec.name, SINGLE_INPUT):
            notes.append(f"Array {cleaned(names[spec.name])!r} was taken for the samples.")
        if note:
            notes.append(f"Array {cleaned(names[spec.name])!r} {note}.")
    first = next(iter(inputs.values()), np.zeros(0))
    count = len(first) if first.ndim else 0
    label = names.get("") or _label_name(arrays, set(names.values()), count)
    if label is not None and label != LABELS:
        notes.append(f"Array {cleaned(label)!r} was taken for the labels.")
    labels = arrays[label] if label is not None else None
    if labels is not None and labels.ndim == 0 and count == 1:
        labels = labels.reshape(1)
    return Arrangement(inputs, labels, tuple(notes))


def in_order(array: Array, spec: TensorSpec) -> tuple[Array, str]:
    """An array with its axes as the input has them, and what was done as the end of a sentence.

    One that fits in no way is left as it is.
    """
    if fits(array, spec):
        return array, ""
    for changed, note in _changes(array, spec):
        if fits(changed, spec):
            return changed, note
    return array, ""


def fits(array: Array, spec: TensorSpec) -> bool:
    """True for samples of an input's shape, samples first."""
    return array.ndim == len(spec.shape) and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.shape[1:], array.shape[1:], strict=False)
    )


def _changes(array: Array, spec: TensorSpec) -> list[tuple[Array, str]]:
    """What an array could have been meant as; the likeliest first."""
    rank, changes = len(spec.shape), []
    whole = [(array, "")]
    if array.ndim == rank - 1 and rank > 1:
        whole = [(array[None], "has no axis of samples and was taken for one sample")]
        if rank == 4 and spec.shape[1] == 1:
            changes.append((array[:, None], "has no axis of channels, so one was added"))
        if rank == 4 and spec.shape[3] == 1:
            changes.append((array[..., None], "has no axis of channels, so one was added"))
    for each, note in whole:
        if note:
            changes.append((each, note))
        if each.ndim == rank == 4:
            also = f"{note}, and " if note else ""
            if spec.shape[1] in CHANNELS and each.shape[3] == spec.shape[1]:
                turned = f"{also}has its channels last and was turned to channels first"
                changes.append((each.transpose(TO_FIRST), turned))
            if spec.shape[3] in CHANNELS and each.shape[1] == spec.shape[3]:
                turned = f"{also}has its channels first and was turned to channels last"
                changes.append((each.transpose(TO_LAST), turned))
    return changes


def _by_name(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, str] | None:
    """The name of the array of each input, and "" for the labels, where names say all."""
    wanted = {spec.name for spec in specs}
    by_alias = SINGLE_INPUT in arrays and len(specs) == 1 and not wanted - {LABELS} & set(arrays)
    rest = set(arrays) - ({SINGLE_INPUT} if by_alias else wanted)
    names = {specs[0].name: SINGLE_INPUT} if by_alias else {name: name for name in wanted}
    if not set(names.values()) <= set(arrays):
        return None
    if rest == {LABELS}:
        return {**names, "": LABELS}
    return names if not rest else None


def _by_shape(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, str] | None:
    """The same by shapes and types: each input must have one array that can be meant."""
    names: dict[str, str] = {}
    for spec in specs:
        candidates = [name for name in arrays if name not in names.values()]
        found = _only(spec, {name: arrays[name] for name in candidates})
        if found is None:
            return None
        names[spec.name] = found
    rest = set(arrays) - set(names.values())
    count = len(in_order(arrays[names[specs[0].name]], specs[0])[0])
    label = _label_name(arrays, set(names.values()), count)
    is_one_set = not _set_of(names[specs[0].name])
    if is_one_set and rest - ({label} if label is not None else set()):
        return None  # an array that nobody asked for may mean that this is other data
    return names


def _only(spec: TensorSpec, arrays: Mapping[str, Array]) -> str | None:
    """The name of the only array for an input: by its name, else as it is, else turned."""
    usable = {name: array for name, array in arrays.items() if _holds_numbers(array, spec)}
    exact = [name for name in usable if _word(name) == _word(spec.name)]
    as_is = [name for name in usable if fits(usable[name], spec)]
    turned = [name for name in usable if fits(in_order(usable[name], spec)[0], spec)]
    for likely in (exact, as_is, turned):
        names = [name for name in likely if name in turned]
        named = [name for name in names if _word(name) in INPUT_WORDS]
        for few in (names, named, *([n for n in names if _set_of(n) == part] for part in PARTS)):
            if len(few) == 1:
                return few[0]
        if names:
            return None
    return None


def _label_name(arrays: Mapping[str, Array], taken: set[str], count: int) -> str | None:
    """The array of labels: one number a sample, or named so."""
    part = next(filter(None, map(_set_of, taken)), "")
    rest = [name for name in arrays if name not in taken and _set_of(name) == part]
    lengths = {name: len(arrays[name]) if arrays[name].ndim else 1 for name in rest}
    named = [name for name in rest if _word(name) in LABEL_WORDS and lengths[name] == count]
    if len(named) == 1:
        return named[0]
    plain = [name for name in rest if lengths[name] == count == arrays[name].size]
    return plain[0] if len(plain) == len(rest) == 1 else None


def _holds_numbers(array: Array, spec: TensorSpec) -> bool:
    if array.dtype.kind not in "fiub":
        return False
    is_whole = array.dtype.kind != "f" or spec.dtype.startswith("float")
    return is_whole or bool((array % 1 == 0).all())


def _word(name: str) -> str:
    """A name without case, and without the set it belongs to: x_test is x."""
    word = name.casefold().strip()
    part = _set_of(name)
    return word.replace(part, "").strip("_-. ") if part else word


def _set_of(name: str) -> str:
    """Which of several sets an array belongs to, by its name: test of x_test."""
    words = name.casefold().replace("-", "_").replace(".", "_").split("_")
    return next((part for part in (*PARTS, "train") if part in words[:1] + words[-1:]), "")
