"""Samples from any file a person has, made fit for a model and split into test and calibration.

Whatever had to be assumed on the way is told in plain sentences.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.formats import data_kinds
from explorer.formats.archive import Archive
from explorer.formats.arrangement import LABELS, SINGLE_INPUT
from explorer.formats.class_names import (
    MOST_MAPPED,
    KnownClasses,
    Numbering,
    mapped,
    of_numbers,
)
from explorer.formats.data import Dataset, Labels, file_digest, fitted
from explorer.formats.images import read_images
from explorer.formats.npz import Array, arrays_in, write_arrays
from explorer.formats.preprocessing import (
    BGR,
    Preprocessing,
    candidates,
    choose,
    prepare_pixels,
    prepare_values,
)
from explorer.formats.tables import read_table
from explorer.names import cleaned
from explorer.network import TensorSpec

MOST_CALIBRATION, CALIBRATION_SHARE = 512, 5  # samples, and one in so many
FEWEST_TO_SPLIT = 20
PIXELS = 64  # values a sample of a table has at least, to be taken for an image
SEED = 0
UNKNOWN = KnownClasses()
FEWEST_TRIED = 32  # samples from which on ways to prepare them can be compared
TRIAL_S = 6.0  # for trying all ways on more samples than these
LONGEST_TRIAL_S = 20.0  # after which trying on fewer is given up

Indices = npt.NDArray[np.int64]
Score = Callable[[Dataset], float]
Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Samples:
    """What a file gives for a model: labelled `test` samples, and `calibration` without labels.

    `classes` names the labels, where the file does. `preprocessing` is what was done to images
    and tables. `notes` are sentences that tell what was assumed. `pairs` are the labels as the file
    writes them, each with its class number, where there are classes.
    """

    test: Dataset
    calibration: Dataset
    classes: tuple[str, ...] | None
    preprocessing: Preprocessing | None
    notes: tuple[str, ...]
    pairs: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, eq=False)
class _Found:
    """What a file holds: labels, and raw samples that `prepare` makes inputs of, for some places.

    The first of `ways` to prepare them is taken where there is nothing to choose by.
    """

    count: int
    labels: Labels | None
    numbering: Numbering | None
    prepare: Callable[[Preprocessing, Indices], dict[str, Array]]
    ways: tuple[Preprocessing, ...]
    notes: tuple[str, ...]
    is_ready: bool = False


def import_samples(
    path: Path,
    title: str,
    inputs: tuple[TensorSpec, ...],
    asked: Preprocessing | None = None,
    score: Score | None = None,
    clock: Clock = time.perf_counter,
    known: KnownClasses = UNKNOWN,
    mapping: Mapping[str, int] | None = None,
) -> Samples:
    """Read an `.npz` archive, a `.csv` table or a zip of images for a model with these inputs.

    `title` is what to call the file in a message. Without `asked` the preparation is guessed; where
    there are labels and `score`, which gives the share of right answers in [0, 1], it is chosen
    by trying on the samples set aside for calibration, never on the test's: on as many of them as
    a few seconds allow. `known` are the model's classes; `mapping` says which class number a label
    of the file gets, by its name there.

    Raises:
        DataError: the file is of another kind, damaged, too large, or doesn't fit the inputs; or
            what `score` raises.
    """
    title = cleaned(title, "The file")
    try:
        found = READERS[data_kinds.kind_of(path, title)](path, title, inputs, asked, known)
        numbering = _numbering(found, known, mapping)
        return _parted(found, numbering, file_digest(path), inputs, score, clock)
    except MemoryError as error:
        raise DataError(f"{title} needs more memory than there is; take fewer samples.") from error


def split(labels: Labels | None, count: int) -> tuple[Indices, Indices]:
    """Places of the samples for test and for calibration, shuffled, the same at every call.

    Calibration gets one in five, at most 512, of each label its share. Fewer than 20 samples are
    all in both.
    """
    if count < FEWEST_TO_SPLIT:
        return np.arange(count), np.arange(count)
    order = np.random.default_rng(SEED).permutation(count)
    by_label = order
    if labels is not None and labels.ndim == 1:
        by_label = order[np.argsort(labels[order], kind="stable")]
    chosen = min(MOST_CALIBRATION, count // CALIBRATION_SHARE)
    evenly = (2 * np.arange(chosen) + 1) * count // (2 * chosen)
    is_chosen = np.zeros(count, bool)
    is_chosen[by_label[evenly]] = True
    return order[~is_chosen[order]], order[is_chosen[order]]


def save_npz(dataset: Dataset, path: Path) -> None:
    """Write samples and labels so that `load_data` reads the same for the same model.

    Raises:
        OutputError: the path can't be written.
    """
    arrays: dict[str, Array] = dict(dataset.inputs)
    if len(arrays) == 1:  # any name can be read back, also one that no archive should have
        arrays = {SINGLE_INPUT: next(iter(arrays.values()))}
    if dataset.labels is not None:
        arrays[LABELS] = dataset.labels
    write_arrays(path, arrays)


def _npz(
    path: Path,
    title: str,
    inputs: Sequence[TensorSpec],
    _asked: Preprocessing | None,
    _known: KnownClasses,
) -> _Found:
    dataset = fitted(arrays_in(Archive(path, title, DataError)), "", inputs)

    def prepare(_: Preprocessing, places: Indices) -> dict[str, Array]:
        return {name: array[places] for name, array in dataset.inputs.items()}

    ways = (Preprocessing(),)
    return _Found(len(dataset), dataset.labels, None, prepare, ways, dataset.notes, is_ready=True)


def _table(
    path: Path,
    title: str,
    inputs: Sequence[TensorSpec],
    asked: Preprocessing | None,
    known: KnownClasses,
) -> _Found:
    spec = _only(inputs, title, "a table")
    table = read_table(path, title, spec, asked.label_column if asked else None, known)
    ways: tuple[Preprocessing, ...] = (asked or Preprocessing(),)
    notes = table.notes
    if asked is None and spec.dtype.startswith("float") and _look_like_pixels(table.values):
        ways = tuple(dict.fromkeys([*ways, *filter(_suits_tables(spec), candidates(spec))]))
        notes += ("The values are whole numbers up to 255, as of pixels.",)
    ways = tuple(replace(each, label_column=table.label_column) for each in ways)

    def prepare(how: Preprocessing, places: Indices) -> dict[str, Array]:
        return {spec.name: prepare_values(table.values[places], how, spec)}

    return _Found(len(table.values), table.labels, table.numbering, prepare, ways, notes)


def _numbering(
    found: _Found, known: KnownClasses, mapping: Mapping[str, int] | None
) -> Numbering | None:
    """Class numbers, as far as the labels are classes."""
    labels, numbering = found.labels, found.numbering
    if labels is not None and numbering is None:
        if labels.dtype.kind != "i" or labels.ndim != 1 or len(np.unique(labels)) > MOST_MAPPED:
            return None
        numbering = of_numbers(labels, known)
    return mapped(numbering, mapping) if numbering is not None and mapping else numbering


def _suits_tables(spec: TensorSpec) -> Callable[[Preprocessing], bool]:
    """True for what needs no colours, as the order of columns is the model's own."""
    has_channels = len(spec.shape) == 4
    return lambda how: how.colours != BGR and (has_channels or len(how.mean) == 1)


def _images(
    path: Path,
    title: str,
    inputs: Sequence[TensorSpec],
    asked: Preprocessing | None,
    known: KnownClasses,
) -> _Found:
    spec = _only(inputs, title, "a zip of images")
    ways = (asked,) if asked else candidates(spec)
    images = read_images(Archive(path, title, DataError), ways[0], spec, known)
    size = images.pixels.shape[1], images.pixels.shape[2]
    ways = tuple(replace(each, size=size) for each in ways)

    def prepare(how: Preprocessing, places: Indices) -> dict[str, Array]:
        return {spec.name: prepare_pixels(images.pixels[places], how, spec)}

    return _Found(len(images.pixels), images.labels, images.numbering, prepare, ways, images.notes)


READERS = MappingProxyType(
    {data_kinds.NPZ: _npz, data_kinds.TABLE: _table, data_kinds.IMAGES: _images}
)


def _parted(
    found: _Found,
    numbering: Numbering | None,
    digest: str,
    inputs: Sequence[TensorSpec],
    score: Score | None,
    clock: Clock,
) -> Samples:
    """Both parts, prepared in the way that is best as far as can be told."""
    all_labels = numbering.labels if numbering is not None else found.labels
    test, calibration = split(all_labels, found.count)

    def part(how: Preprocessing, places: Indices, name: str) -> Dataset:
        dataset = fitted(found.prepare(how, places), _id(digest, how, name), inputs)
        labels = all_labels[places] if all_labels is not None else None
        return replace(dataset, labels=labels)

    how, tried = found.ways[0], ""
    if score is not None and found.labels is not None and len(found.ways) > 1:

        def share_right(way: Preprocessing, first: int, end: int) -> float:
            return score(part(way, calibration[first:end], f"tried from {first}"))

        accuracy, samples = _try(found.ways, share_right, len(calibration), clock)
        if accuracy:
            how = choose(found.ways, accuracy.__getitem__, samples)
        tried = _trial(accuracy, how, samples)
    elif len(found.ways) > 1:
        tried = "; this is a guess"
    classes = (numbering.note,) if numbering is not None and numbering.note else ()
    notes = () if found.is_ready else (f"Preparation: {how.describe()}{tried}.",)
    return Samples(
        part(how, test, "test"),
        replace(part(how, calibration, "calibration"), labels=None),
        numbering.classes if numbering is not None else None,
        None if found.is_ready else how,
        (
            *found.notes,
            *classes,
            *notes,
            _split_note(len(test), len(calibration), all_labels),
        ),
        numbering.pairs if numbering is not None else (),
    )


def _try(
    ways: Sequence[Preprocessing],
    share_right: Callable[[Preprocessing, int, int], float],
    count: int,
    clock: Clock,
) -> tuple[dict[Preprocessing, float], int]:
    """The share of right answers of each way, and on how many of `count` samples it was tried.

    `share_right` is that of one way from one sample up to another. Each round takes as many samples
    as all before it, and so about as long; it begins where it should end in time. There are no
    shares where even the fewest samples take too long.
    """
    right, done, started = dict.fromkeys(ways, 0.0), 0, clock()
    while done < count and (done < FEWEST_TRIED or 2 * (clock() - started) <= TRIAL_S):
        end = min(2 * done or 1, count)
        for way in ways:
            if done < FEWEST_TRIED and clock() - started > LONGEST_TRIAL_S:
                return {}, done
            right[way] += (end - done) * share_right(way, done, end)
        done = end
    return {way: hits / done for way, hits in right.items()}, done


def _trial(accuracy: Mapping[Preprocessing, float], chosen: Preprocessing, samples: int) -> str:
    """What trying has shown, as the end of a sentence; the first way was the guess."""
    if not accuracy:
        return "; this is a guess, as the model is too slow to try other ways"
    shares = {way: f"{100 * share:.0f} %" for way, share in accuracy.items()}
    tried, guessed = (
        f"; of {len(shares)} ways tried on {samples} labelled samples",
        next(iter(shares)),
    )
    if chosen == guessed:
        return f"{tried} none is clearly better, {shares[chosen]} are right"
    return f"{tried} it is the best: {shares[chosen]} are right, and {shares[guessed]} as guessed"


def _split_note(test: int, calibration: int, labels: Labels | None) -> str:
    if test == calibration:
        fewer = f"There are fewer than {FEWEST_TO_SPLIT} samples"
        return f"{fewer}, so test and calibration both use all of them."
    evenly = ""
    if labels is not None and labels.ndim == 1:
        is_class = labels.dtype.kind in "iu"
        evenly = ", the same share of each label" if is_class else ", spread evenly over the labels"
    return (
        f"{calibration:,} samples are set aside for calibration and {test:,} for the test, drawn "
        f"at random (seed {SEED}{evenly})."
    )


def _id(digest: str, how: Preprocessing, part: str) -> str:
    """SHA-256 of what a part was made from and how."""
    text = json.dumps([digest, asdict(how), part, SEED], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _only(inputs: Sequence[TensorSpec], title: str, what: str) -> TensorSpec:
    if len(inputs) != 1:
        raise DataError(
            f"{title} is {what}, but the model has {len(inputs)} inputs; give an .npz archive with "
            "an array for each."
        )
    return inputs[0]


def _look_like_pixels(values: Array) -> bool:
    """True for whole numbers from 0 to at most 255, more of them than measurements have."""
    if values[0].size < PIXELS or values.min() < 0 or not 1 < values.max() <= 255:
        return False
    return bool((values % 1 == 0).all())
