"""Fashion-MNIST: reading the Debian package's files, splitting and augmenting them.

The data set has 60,000 training and 10,000 test images of ten kinds of clothing, 28 by 28 grey
pixels each (Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747).
"""

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sample_models.dataset import Dataset, Samples, Split

DATASET_DIR = Path("/usr/share/datasets/fashion-mnist")  # of Debian's dataset-fashion-mnist
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PIXEL_MEAN = 72.94  # of the 60,000 training images, on the scale 0..255
PIXEL_STD = 90.02

CALIBRATION_IMAGES = 512
VALIDATION_IMAGES = 1500
SPLIT_SEED = 2017
CROP_PADDING = 2

_IDX_UBYTE = 0x08

UInt8Array = npt.NDArray[np.uint8]


def load_split(directory: Path = DATASET_DIR) -> Split:
    """Read the data set and hold validation and calibration images out of the training set."""
    pool = _read_images(directory, "train")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(pool))
    calibration, validation, train = np.split(
        order, [CALIBRATION_IMAGES, CALIBRATION_IMAGES + VALIDATION_IMAGES]
    )
    return Split(
        train=pool.take(train),
        validation=pool.take(validation),
        calibration=pool.take(calibration),
        test=_read_images(directory, "t10k"),
    )


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift every image by up to `CROP_PADDING` pixels each way and mirror a random half.

    `x`: (images, 1, height, width) of any type; what is shifted in is 0, the background.
    """
    count, _, height, width = x.shape
    padded = torch.nn.functional.pad(x, (CROP_PADDING,) * 4)
    offsets = torch.randint(0, 2 * CROP_PADDING + 1, (2, count, 1), generator=generator)
    rows = offsets[0] + torch.arange(height)  # (images, height)
    columns = offsets[1] + torch.arange(width)  # (images, width)
    mirrored = torch.rand((count, 1), generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    image = torch.arange(count)[:, None, None]
    return padded[image, 0, rows[:, :, None], columns[:, None, :]][:, None]


def _read_images(directory: Path, prefix: str) -> Samples:
    x = _read_idx(directory / f"{prefix}-images-idx3-ubyte.gz")
    y = _read_idx(directory / f"{prefix}-labels-idx1-ubyte.gz")
    return Samples(x[:, None], y)


def _read_idx(path: Path) -> UInt8Array:
    """Read a gzipped IDX file of bytes: magic (0, 0, type, rank), big-endian sizes, values.

    Raises:
        ValueError: the file is not an IDX file of unsigned bytes.
    """
    content = gzip.decompress(path.read_bytes())
    if content[:3] != bytes([0, 0, _IDX_UBYTE]):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    rank = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


FASHION = Dataset(
    name="fashion",
    classes=CLASSES,
    licence="MIT",
    source="https://github.com/zalandoresearch/fashion-mnist",
    test="The 10,000 test images (x) and their class numbers (y).",
    calibration=("512 of the training images, without labels, that no model was trained on."),
    input="image",
    shape=(1, 28, 28),
    dtype=torch.float32,
    load=load_split,
    augment=augment,
)
