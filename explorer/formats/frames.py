"""Where an input keeps the height, width and channels of an image, read from its shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from explorer.errors import DataError
from explorer.names import cleaned
from explorer.network import TensorSpec

FIRST, LAST = LAYOUTS = ("channels first", "channels last")
DTYPES = ("float32", "float16", "float64", "uint8")
LIKELIEST = MappingProxyType({1: 0, 3: 0, 4: 1, None: 2})  # numbers of channels, in that order
INSTEAD = "give the samples as an .npz archive"


@dataclass(frozen=True)
class Frame:
    """The image that an input takes; what its shape leaves open is None.

    `dims` is the number of the input's dimensions, samples included: 4 with an axis of channels,
    3 without, 2 for all values in a row.
    """

    layout: str
    channels: int | None
    height: int | None
    width: int | None
    dims: int

    def of_size(self, size: tuple[int, int] | None, name: str) -> "Frame":
        """The same frame with the size (height, width) where it is open.

        Raises:
            DataError: input `name` takes another.
        """
        if size is None:
            return self
        own = (self.height or size[0], self.width or size[1])
        if own != size:
            raise DataError(
                f"The size is {size[0]} x {size[1]}, but input {name!r} takes {own[0]} x {own[1]}."
            )
        return replace(self, height=size[0], width=size[1])

    def sample_shape(self, size: Sequence[int]) -> tuple[int, ...]:
        """The shape of one sample of a size (height, width)."""
        assert self.channels is not None
        if self.dims == 2:
            return (math.prod(size) * self.channels,)
        if self.dims == 3:
            return tuple(size)
        return (self.channels, *size) if self.layout == FIRST else (*size, self.channels)


def is_image(spec: TensorSpec) -> bool:
    """True where images can be made to fit an input."""
    try:
        frame_of(spec)
    except DataError:
        return False
    return True


def frame_of(spec: TensorSpec, layout: str | None = None) -> Frame:
    """The frame of an input; of two possible layouts the one given, else the likelier.

    Raises:
        DataError: the input takes no images, or none in this layout.
    """
    name = cleaned(spec.name)
    if spec.dtype not in DTYPES:
        raise DataError(
            f"Input {name!r} takes {cleaned(spec.dtype)} values, not the floats or bytes of "
            f"images; {INSTEAD}."
        )
    sizes = [dim if isinstance(dim, int) else None for dim in spec.shape]
    found = _frames(sizes)
    if not found:
        shape = " x ".join(cleaned(str(dim)) for dim in spec.shape) or "a single number"
        raise DataError(f"Input {name!r} is {shape}, which isn't an image shape; {INSTEAD}.")
    fitting = [frame for frame in found if layout in (None, frame.layout)]
    if not fitting:
        raise DataError(f"The layout is {layout}, but input {name!r} has {found[0].layout}.")
    return fitting[0]


def _frames(sizes: Sequence[int | None]) -> list[Frame]:
    """What a shape can mean, likeliest first."""
    if len(sizes) == 4:
        first = Frame(FIRST, sizes[1], sizes[2], sizes[3], 4)
        last = Frame(LAST, sizes[3], sizes[1], sizes[2], 4)
        possible = [each for each in (first, last) if each.channels in LIKELIEST]
        return sorted(possible, key=lambda each: LIKELIEST[each.channels])
    if len(sizes) == 3:
        return [Frame(layout, 1, sizes[1], sizes[2], 3) for layout in LAYOUTS]
    if len(sizes) == 2 and sizes[1]:
        return [
            Frame(layout, channels, side, side, 2)
            for channels in (1, 3)
            for side in [math.isqrt(sizes[1] // channels)]
            if channels * side**2 == sizes[1]
            for layout in LAYOUTS
        ]
    return []
