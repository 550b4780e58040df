"""Japanese vowels: /ae/ by nine speakers, as series of 12 cepstrum coefficients.

The data set has 270 training and 370 test utterances of 7 to 29 steps of 6.4 ms (Kudo, Toyama
and Shimbo, https://doi.org/10.24432/C5NS47). They are read from the wheel of the Python package
`aeon`. A shorter utterance is repeated from its beginning until it has 29 steps.
"""

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sample_models.dataset import PACKAGES, Dataset, Samples, Split

ARCHIVE = PACKAGES / "aeon-1.6.0-py3-none-any.whl"
FILE = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"
SPEAKERS = tuple(f"Speaker {number}" for number in range(1, 10))
LENGTH = 29  # steps of the longest utterance

# Of each coefficient, over all steps of the 270 training utterances.
MEANS = (0.869, -0.555, 0.246, -0.267, 0.219, -0.211, -0.174, -0.052, -0.205, -0.181, -0.024, 0.086)
STDS = (0.488, 0.391, 0.301, 0.306, 0.269, 0.168, 0.161, 0.188, 0.188, 0.117, 0.098, 0.128)

HELD_OUT = 6  # of each speaker's 30 training utterances, for validation and calibration
SPLIT_SEED = 1999
OFFSET = 0.3  # random change of a whole coefficient, in its standard deviations
NOISE = 0.2  # random change of a single value, likewise


def pad(series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Repeat a series (coefficients, steps) until it has `LENGTH` steps.

    >>> pad(np.array([[1, 2, 3]], np.float32))[0, :7].tolist()
    [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """
    return np.resize(series.T, (LENGTH, len(series))).T


def load_split(archive: Path = ARCHIVE) -> Split:
    """Read the utterances, and hold some of each speaker out of the training set.

    The validation and the calibration utterances are the same ones: neither use trains a network.
    """
    random = np.random.default_rng(SPLIT_SEED)
    pool, test = _read(archive, "TRAIN"), _read(archive, "TEST")
    order = random.permutation(len(pool))
    held_out = np.concatenate([order[pool.y[order] == k][:HELD_OUT] for k in range(len(SPEAKERS))])
    held_out = random.permutation(held_out)
    return Split(
        train=pool.take(np.setdiff1d(order, held_out)),
        validation=pool.take(held_out),
        calibration=pool.take(held_out),
        test=test.take(random.permutation(len(test))),
    )


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift each coefficient of each series at random, and add noise.

    `x`: (series, coefficients, steps).
    """
    stds = torch.tensor(STDS)[:, None]
    offset = torch.randn((*x.shape[:2], 1), generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    return x + stds * (OFFSET * offset + NOISE * noise)


def _read(archive: Path, part: str) -> Samples:
    """Read a part of the data set, a line per utterance: 12 comma-separated series, the speaker."""
    with zipfile.ZipFile(archive) as package:
        text = package.read(FILE.format(part=part)).decode()
    _, _, data = text.partition("@data\n")
    lines = [line.split(":") for line in data.splitlines()]
    series = [[values.split(",") for values in coefficients] for *coefficients, _ in lines]
    x = np.stack([pad(np.array(utterance, np.float32)) for utterance in series])
    return Samples(x, np.array([int(speaker) - 1 for *_, speaker in lines], np.uint8))


VOWELS = Dataset(
    name="vowels",
    classes=SPEAKERS,
    licence="CC-BY-4.0",
    source="https://doi.org/10.24432/C5NS47",
    test=("The 370 test utterances (x), repeated to 29 steps, and their speakers' numbers (y)."),
    calibration=(
        "54 of the 270 training utterances, without labels, that the model was not trained on."
    ),
    input="series",
    shape=(12, LENGTH),
    dtype=torch.float32,
    load=load_split,
    augment=augment,
)
