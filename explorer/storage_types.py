"""The types in which tensors lie in a file: one value says all there is to know of each.

A leaf: it imports nothing of ours and no library, so any part may ask it. Weights of 3, 5, 6 and 7
bits have no type of their own and are stored in the next larger one (`holding`).
"""

from dataclasses import dataclass

BYTE_BITS = 8
# First versions of ONNX's operator set in which QuantizeLinear and DequantizeLinear take something.
BYTES_OPSET, HALF_SCALES_OPSET, NIBBLES_OPSET, QUARTERS_OPSET = 13, 19, 21, 25
BLOCKS_OPSET = 21  # a scale for each block of an axis


@dataclass(frozen=True)
class StorageType:
    """A type of tensors: `name` in plans and JSON, `onnx_name` in ONNX, `bits` of one element.

    `opset` is the first in which a tensor of integers of this type can be turned back into floats;
    0 for floats, which every opset has. `in_kernels` says that an integer kernel multiplies with
    these weights as they are. `most` is the largest level of a weight on either side of zero, where
    it isn't as many as the bits allow.

    >>> UINT8.range, INT4.range, INT4.per_byte, FLOAT16.label
    ((0, 255), (-8, 7), 2, 'FP16')
    """

    name: str
    onnx_name: str
    bits: int
    opset: int = 0
    is_integer: bool = True
    is_signed: bool = True
    in_kernels: bool = False
    most: int | None = None

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer, both included."""
        assert self.is_integer
        low = -(2 ** (self.bits - 1)) if self.is_signed else 0
        return low, low + 2**self.bits - 1

    @property
    def per_byte(self) -> int:
        """How many elements ONNX packs into a byte; 0 for those that take more than one."""
        return BYTE_BITS // self.bits

    @property
    def label(self) -> str:
        """What the type is called on screen."""
        return self.name.upper().replace("FLOAT", "FP")

    def levels(self, bits: int) -> tuple[int, int]:
        """Smallest and largest level of weights of a width, as many on either side of zero.

        >>> INT8.levels(8), INT8_REDUCED.levels(8), INT8_REDUCED.levels(6)
        ((-127, 127), (-64, 64), (-31, 31))
        """
        top = 2 ** (bits - 1) - 1
        top = top if self.most is None else min(top, self.most)
        return -top, top


INT2 = StorageType("int2", "INT2", 2, QUARTERS_OPSET)
INT4 = StorageType("int4", "INT4", 4, NIBBLES_OPSET)
INT8 = StorageType("int8", "INT8", 8, BYTES_OPSET)
# Weights of integer kernels. Those of x86 without VNNI add two products of an unsigned activation
# and a signed weight in 16 bits: 255 x 64 x 2 = 32,640 is the most that can't overflow.
INT8_REDUCED = StorageType("int8-reduced", "INT8", 8, BYTES_OPSET, in_kernels=True, most=64)
INT8_FULL = StorageType("int8-full", "INT8", 8, BYTES_OPSET, in_kernels=True)
KERNEL_TYPES = {"reduced": INT8_REDUCED, "full": INT8_FULL}  # by the range that a recipe asks for
UINT8 = StorageType("uint8", "UINT8", 8, BYTES_OPSET, is_signed=False)
INT32 = StorageType("int32", "INT32", 32, BYTES_OPSET)  # of the biases that integer kernels add
FLOAT16 = StorageType("float16", "FLOAT16", 16, is_integer=False)
FLOAT32 = StorageType("float32", "FLOAT", 32, is_integer=False)
FLOAT64 = StorageType("float64", "DOUBLE", 64, is_integer=False)

WEIGHT_INTEGERS = (INT8, INT4, INT2, *KERNEL_TYPES.values())
FLOATS = (FLOAT16, FLOAT32, FLOAT64)
STORAGE_TYPES = {kind.name: kind for kind in (*WEIGHT_INTEGERS, UINT8, *FLOATS, INT32)}
BY_WIDTH = (INT2, INT4, INT8, FLOAT16, FLOAT32)  # what a number of bits is stored in
_NAMES = {kind.onnx_name: kind.name for kind in STORAGE_TYPES.values() if not kind.in_kernels}


def holding(bits: int) -> StorageType:
    """The smallest type for weights of a true width, 2 to 32 bits.

    >>> [holding(bits).name for bits in (2, 3, 6, 16)]
    ['int2', 'int4', 'int8', 'float16']
    """
    return next(kind for kind in BY_WIDTH if bits <= kind.bits)


def wider_types(storage: StorageType) -> tuple[StorageType, ...]:
    """A type, then the others that hold its integers too, the smallest first."""
    if storage not in BY_WIDTH or not storage.is_integer:
        return (storage,)
    return tuple(kind for kind in BY_WIDTH if kind.is_integer and kind.bits >= storage.bits)


def integer_type(name: str) -> StorageType | None:
    """The type of integers in which we store weights that has a name; None for any other name."""
    return next((kind for kind in WEIGHT_INTEGERS if kind.name == name), None)


def element_name(name: str) -> str:
    """The type of the elements of what is stored so, without the range that they use.

    >>> element_name("int8-reduced"), element_name("float16")
    ('int8', 'float16')
    """
    return name.partition("-")[0]


def type_name(onnx_name: str) -> str:
    """What ONNX's element types are called here, those that aren't listed in small letters.

    >>> type_name("DOUBLE"), type_name("BFLOAT16")
    ('float64', 'bfloat16')
    """
    return _NAMES.get(onnx_name, onnx_name.lower())
