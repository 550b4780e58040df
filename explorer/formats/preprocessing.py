"""How samples become what a model takes: size, layout, colours, scale; and good guesses at it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.formats.frames import FIRST, LAYOUTS, Frame, frame_of, is_image
from explorer.names import cleaned
from explorer.network import TensorSpec

RGB, BGR, GREY = COLOURS = ("RGB", "BGR", "grey")
RAW, UNIT = SCALES = ("0..255", "0..1")
STRETCH, CROP = RESIZES = ("stretch", "crop")
LARGEST_SIDE = 4096
PHOTO_SIDE = 160  # from which images are most likely photos, prepared as for ImageNet
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB, 0..1
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of BGR, 0..255; Keras has it for VGG and ResNet
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
CHUNK_VALUES = 2**22
CLEARLY = 2  # standard errors

Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to samples before a model sees them; the defaults leave values as they are.

    `size` is (height, width), or None for the model's own. `scale` is what a range of 0..255
    becomes; then `mean` is taken off and the rest divided by `std`, one number for all or one per
    channel in the order of `colours`. `resize` either stretches an image to the size, or fills
    the size with its middle. `label_column` names the column of a table that holds the labels.
    """

    size: tuple[int, int] | None = None
    layout: str = FIRST
    colours: str = RGB
    scale: str = RAW
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = STRETCH
    label_column: str | None = None

    def __post_init__(self) -> None:
        _check_choice(self.layout, LAYOUTS, "The layout")
        _check_choice(self.colours, COLOURS, "The order of colours")
        _check_choice(self.scale, SCALES, "The scale")
        _check_choice(self.resize, RESIZES, "The way to resize")
        _check_numbers(self.mean, "The mean")
        _check_numbers(self.std, "The standard deviation")
        if min(self.std) <= 0:
            raise DataError(f"The standard deviation is {min(self.std)}; it must be above 0.")
        if self.size is not None:
            _check_size(self.size)
        if not isinstance(self.label_column, str | None):
            raise DataError("The label column must be the name of a column.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Read back what `asdict` gave, also after a detour through JSON.

        Raises:
            DataError: a key or a value is not one a preprocessing has.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                listed = ", ".join(known)
                raise DataError(f"The preparation has no {cleaned(key)!r}; it can have {listed}.")
        tuples = {key: tuple(each) for key, each in values.items() if isinstance(each, list)}
        return cls(**{**values, **tuples})

    def describe(self) -> str:
        """What happens to the values, as part of a sentence."""
        steps = ["divided by 255"] * (self.scale == UNIT)
        if set(self.mean) != {0.0}:
            steps.append(f"less {_numbers(self.mean)}")
        if set(self.std) != {1.0}:
            steps.append(f"over {_numbers(self.std)}")
        order = " in BGR order" if self.colours == BGR else ""
        return f"values{order} {', '.join(steps) or 'as they are'}"


def guess(spec: TensorSpec) -> Preprocessing:
    """The most likely preprocessing for a model's input, from its type and shape alone.

    Whole numbers and inputs that take no images get values as they are; one channel 0..1; photos
    (3 channels, large or of any size) what torchvision's models take; smaller ones 0..1.
    """
    if not is_image(spec):
        return Preprocessing()
    frame = frame_of(spec)
    how = Preprocessing(layout=frame.layout, colours=GREY if frame.channels == 1 else RGB)
    if spec.dtype == "uint8":
        return how
    sides = [side for side in (frame.height, frame.width) if side is not None]
    if frame.channels in (3, None) and min(sides, default=PHOTO_SIDE) >= PHOTO_SIDE:
        return replace(how, scale=UNIT, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize=CROP)
    return replace(how, scale=UNIT)


def candidates(spec: TensorSpec) -> tuple[Preprocessing, ...]:
    """The guess, and after it the other plausible ways in which only the values differ."""
    first = guess(spec)
    if not is_image(spec):
        return (first,)
    plain = replace(first, scale=RAW, mean=(0.0,), std=(1.0,))
    raw = [plain, replace(plain, colours=BGR)] if plain.colours == RGB else [plain]
    if spec.dtype == "uint8":
        return tuple(raw)
    unit = replace(plain, scale=UNIT)
    ways = [plain, unit, replace(unit, mean=(0.5,), std=(0.5,))]
    if frame_of(spec).channels == 1:
        ways.append(replace(unit, mean=MNIST_MEAN, std=MNIST_STD))
    elif frame_of(spec).channels in (3, None):
        ways.insert(2, replace(unit, mean=IMAGENET_MEAN, std=IMAGENET_STD))
        ways.append(replace(plain, colours=BGR, mean=CAFFE_MEAN))
        ways += [replace(plain, colours=BGR), replace(unit, colours=BGR)]
    return tuple(dict.fromkeys([first, *ways]))


def choose(
    ways: Sequence[Preprocessing], accuracy_of: Callable[[Preprocessing], float], samples: int
) -> Preprocessing:
    """The first way, unless another is better by more than chance explains.

    `accuracy_of` is a share of `samples` samples, the same for all. The best of the others wins
    where it is ahead by more than 2 standard errors of the difference of two shares, each taken
    with one more right and one more wrong sample (Agresti and Caffo 2000), as none are all right.
    """
    first, *others = ways
    if not others:
        return first
    scores = [accuracy_of(each) for each in others]
    best = max(range(len(others)), key=scores.__getitem__)
    low, high = (
        (share * samples + 1) / (samples + 2) for share in (accuracy_of(first), scores[best])
    )
    error = math.sqrt((low * (1 - low) + high * (1 - high)) / (samples + 2))
    return others[best] if high - low > CLEARLY * error else first


def check_fits(how: Preprocessing, spec: TensorSpec) -> Frame:
    """The frame that a preprocessing fills, with its channels known and its size as asked.

    Raises:
        DataError: the input takes no images, or others than the preprocessing makes.
    """
    frame, name = frame_of(spec, how.layout), cleaned(spec.name)
    channels = frame.channels or (1 if how.colours == GREY else 3)
    if (how.colours == GREY) != (channels == 1):
        right = GREY if channels == 1 else f"{RGB} or {BGR}"
        raise DataError(
            f"The order of colours is {how.colours}, but input {name!r} has {channels} "
            f"{'channel' if channels == 1 else 'channels'}; take {right}."
        )
    for values, what in ((how.mean, "The mean"), (how.std, "The standard deviation")):
        if len(values) not in (1, channels):
            raise DataError(f"{what} has {len(values)} numbers; give 1, or {channels}.")
    if spec.dtype == "uint8" and not _is_raw(how):
        raise DataError(
            f"Input {name!r} takes bytes, which are 0..255 as they are; leave out scale, mean and "
            "standard deviation."
        )
    return replace(frame, channels=channels).of_size(how.size, name)


def prepare_pixels(pixels: npt.NDArray[np.uint8], how: Preprocessing, spec: TensorSpec) -> Samples:
    """Images as the model takes them, (samples, ...) in the shape of `spec`, float32 or uint8.

    `pixels` are (samples, height, width, channels): grey, RGB or RGBA.

    Raises:
        DataError: as for `check_fits`, or the values grow beyond float32.
    """
    frame = check_fits(how, spec)
    if how.colours == BGR:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]
    arranged = np.moveaxis(pixels, -1, 1) if frame.layout == FIRST else pixels
    shape = (len(pixels), *frame.sample_shape(pixels.shape[1:3]))
    if spec.dtype == "uint8":
        return arranged.reshape(shape)
    return _normalised(arranged, how, 1 if frame.layout == FIRST else -1).reshape(shape)


def prepare_values(values: Samples, how: Preprocessing, spec: TensorSpec) -> Samples:
    """The values of a table, already in the model's shape, scaled and normalised.

    Raises:
        DataError: there is one mean per channel, but the input has no such channels; or the values
            grow beyond float32.
    """
    if _is_raw(how):
        return values
    per_channel = max(len(how.mean), len(how.std))
    if per_channel == 1:
        return _normalised(values, how, -1)
    frame = check_fits(replace(how, size=None), spec)
    if len(spec.shape) != 4:
        raise DataError(f"Input {cleaned(spec.name)!r} has no axis of channels; give one mean.")
    return _normalised(values, how, 1 if frame.layout == FIRST else -1)


def _normalised(values: Samples, how: Preprocessing, axis: int) -> npt.NDArray[np.float32]:
    """Scale, mean and deviation along the axis of channels, a piece at a time to spare memory."""
    result = np.empty(values.shape, np.float32)
    step = max(1, CHUNK_VALUES // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        part = values[start : start + step].astype(np.float32)
        if how.scale == UNIT:
            part /= 255
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean, std = (_along(numbers, axis, values.ndim) for numbers in (how.mean, how.std))
            done = (part - mean) / std
        if np.isfinite(part).all() and not np.isfinite(done).all():
            raise DataError(
                f"With mean {_numbers(how.mean)} and standard deviation {_numbers(how.std)}, the "
                "values become too large to compute with; choose others."
            )
        result[start : start + step] = done
    return result


def _along(numbers: Sequence[float], axis: int, dims: int) -> npt.NDArray[np.float32]:
    shape = [1] * dims
    shape[axis] = len(numbers)
    return np.array(numbers, np.float32).reshape(shape)


def _is_raw(how: Preprocessing) -> bool:
    return how.scale == RAW and set(how.mean) == {0.0} and set(how.std) == {1.0}


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _check_choice(value: Any, choices: Sequence[str], what: str) -> None:
    if not isinstance(value, str) or value not in choices:
        shown = cleaned(str(value))
        raise DataError(f"{what} is {shown!r}; it must be one of {', '.join(choices)}.")


def _check_numbers(values: Any, what: str) -> None:
    is_list = isinstance(values, tuple) and len(values) > 0
    if not is_list or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise DataError(f"{what} must be one number, or one per channel.")


def _check_size(size: Any) -> None:
    is_pair = isinstance(size, tuple) and len(size) == 2
    if not is_pair or not all(isinstance(s, int) and 0 < s <= LARGEST_SIDE for s in size):
        raise DataError(
            f"The size must be a height and a width, whole numbers from 1 to {LARGEST_SIDE}."
        )
