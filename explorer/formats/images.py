"""Zip archives of PNG and JPEG images, one folder a class, as pixels of one size and labels."""

import io
import math
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from explorer.errors import DataError
from explorer.formats.archive import Archive
from explorer.formats.class_names import KnownClasses, Numbering, numbered
from explorer.formats.preprocessing import CROP, Preprocessing, check_fits
from explorer.formats.signatures import JPEG, PNG
from explorer.names import cleaned, file_name, listed
from explorer.network import TensorSpec

MOST_IMAGES = 20_000
MOST_VALUES = 2**28
MOST_PIXELS = 16_000_000  # of one image
OPEN_SIDE = 224  # for a model of any size and images larger than this
FORMATS = ("PNG", "JPEG")
# Members that are meant as images, by their names; what else is no image is left out.
SUFFIXES = frozenset(
    ".png .jpg .jpeg .jpe .jfif .gif .bmp .webp .tif .tiff .heic .heif .avif .svg .ppm .pgm".split()
)
UNKNOWN = KnownClasses()
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow raises on images that are damaged or made up.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    SyntaxError,
    struct.error,
    zlib.error,
)

Image.MAX_IMAGE_PIXELS = MOST_PIXELS
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels (samples, height, width, channels), grey, RGB or RGBA, numbered by class or not.

    `notes` are sentences that tell what was assumed.
    """

    pixels: Pixels = field(repr=False)
    numbering: Numbering | None
    notes: tuple[str, ...]

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """Class numbers (samples,)."""
        return self.numbering.labels if self.numbering is not None else None


def is_picture(head: bytes) -> bool:
    """True for the first bytes of a PNG or JPEG image."""
    return head.startswith((PNG, JPEG))


def read_images(
    archive: Archive, how: Preprocessing, spec: TensorSpec, known: KnownClasses = UNKNOWN
) -> Images:
    """All images of an archive, upright, in the size and number of channels that `spec` needs.

    Of `how` only layout, colours, size and way to resize matter here; the values stay 0..255.
    `known` are the model's classes.

    Raises:
        DataError: the input takes no images, or the archive holds none, too many, or bad ones.
    """
    frame, title = check_fits(how, spec), archive.title
    members, left_out = _pictures(archive)
    folders = _folders(members, title)
    assert frame.channels is not None
    mode = MODES[frame.channels]
    own = _own_size(_opened(archive, members[0], mode))
    size = (frame.height or own[0], frame.width or own[1])
    shape = (len(members), *size, frame.channels)
    if math.prod(shape) > MOST_VALUES:
        most = MOST_VALUES // math.prod(shape[1:])
        raise DataError(
            f"{title} holds {len(members):,} images, more than fit in memory at "
            f"{size[0]} x {size[1]} pixels; the most is {most:,}."
        )
    pixels, sizes = np.empty(shape, np.uint8), Counter[tuple[int, int]]()
    for index, member in enumerate(members):
        image = _opened(archive, member, mode)
        sizes[image.height, image.width] += 1
        pixels[index] = _resized(image, size, how.resize).reshape(shape[1:])
    notes = [_size_note(sizes, size, how.resize), *left_out]
    if folders is None:
        return Images(
            pixels, None, (*notes, "The images aren't in folders, so they have no labels.")
        )
    return Images(pixels, numbered(folders, known, "their folders"), tuple(notes))


def _pictures(archive: Archive) -> tuple[list[str], list[str]]:
    """The members that are images, and a note if others were left out."""
    title, members, others = archive.title, [], []
    for name in archive.names:
        if is_picture(archive.head(name, len(PNG))):
            members.append(name)
        elif PurePosixPath(name).suffix.lower() in SUFFIXES:
            raise DataError(f"{title} holds {file_name(name)!r}, which isn't a PNG or JPEG image.")
        else:
            others.append(file_name(name))
    if not members:
        raise DataError(f"{title} holds no PNG or JPEG images.")
    if len(members) > MOST_IMAGES:
        raise DataError(f"{title} holds {len(members):,} images; the most is {MOST_IMAGES:,}.")
    return members, [f"Skipped, because they aren't images: {listed(others)}."] * bool(others)


def _folders(members: Sequence[str], title: str) -> list[str] | None:
    """The class folder of each image, or None where all lie in one place."""
    paths = [tuple(part for part in name.replace("\\", "/").split("/") if part) for name in members]
    if min(map(len, paths)) > 1 and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    for path in paths:
        if len(path) > 2:
            raise DataError(
                f"{title} has folders inside {cleaned(path[0])!r}; pack one folder a class, with "
                "nothing but images in it."
            )
        if len(path) != len(paths[0]):
            loose = path if len(path) == 1 else paths[0]
            raise DataError(
                f"{title} has images in folders and some beside them, such as "
                f"{cleaned(loose[-1])!r}; put each into the folder of its class."
            )
    return [path[0] for path in paths] if len(paths[0]) == 2 else None


def _opened(archive: Archive, member: str, mode: str) -> Image.Image:
    """An image, decoded and turned upright, in one of `MODES`."""
    content = archive.read(member)
    which = f"{archive.title} holds {file_name(member)!r}, which"
    with warnings.catch_warnings(action="ignore"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            image.load()
            return _in_mode(ImageOps.exif_transpose(image), mode)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            most = MOST_PIXELS // 10**6
            raise DataError(f"{which} has more than {most} million pixels.") from error
        except UNREADABLE as error:
            raise DataError(f"{which} is a damaged image, or it is cut short.") from error


def _resized(image: Image.Image, size: tuple[int, int], resize: str) -> Pixels:
    """Pixels (height, width) or (height, width, channels) of an image in another size."""
    wanted = (size[1], size[0])  # Pillow has the width first
    if image.size != wanted:
        bilinear = Image.Resampling.BILINEAR
        fit = ImageOps.fit if resize == CROP else Image.Image.resize
        image = fit(image, wanted, bilinear)
    return np.asarray(image, np.uint8)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Grey, RGB or RGBA; 16 bits become the upper 8, and what is transparent loses only that."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image.convert(mode)


def _own_size(first: Image.Image) -> tuple[int, int]:
    """Height and width for a model that takes any: the first image's, unless that is large."""
    is_large = max(first.size) > OPEN_SIDE
    return (OPEN_SIDE, OPEN_SIDE) if is_large else (first.height, first.width)


def _size_note(sizes: Counter[tuple[int, int]], size: tuple[int, int], resize: str) -> str:
    height, width = size
    if set(sizes) == {size}:
        return f"The images are {height} x {width} pixels, as the model takes them."
    (most, _), *others = sizes.most_common()
    was = f"{most[0]} x {most[1]} pixels" + (" and other sizes" if others else "")
    verb = "cropped to their middle and resized" if resize == CROP else "stretched"
    return f"The images are of {was}; they were {verb} to {height} x {width} (height x width)."
