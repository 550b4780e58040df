"""What a pickle of torch.save would make, found by reading its instructions and running none."""

import io
import pickletools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from explorer.errors import ModelError
from explorer.formats.signatures import refused
from explorer.names import cleaned

MOST_BYTES = 2**24
MOST_STEPS = 2_000_000
MOST_TENSORS = 20_000
TORCH_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # how the format before 1.6 begins
BEFORE_THE_OBJECT = 3  # pickles in that format: magic number, version, kind of machine
PROTOCOL = 2  # the one that torch.save writes and that its safe reader takes
NO_VALUE = ("PROTO", "FRAME", "SHORT_BINUNICODE", "MEMOIZE", "STACK_GLOBAL", "GLOBAL")
DAMAGED = (ValueError, KeyError, IndexError, OverflowError, EOFError, struct.error)
# What torch's safe reader makes of tensors, and what goes with them in a checkpoint.
REBUILD = "torch._utils _rebuild_"
PLAIN = frozenset(
    {
        *(f"{REBUILD}{what}" for what in ("parameter", "tensor", "tensor_v2", "tensor_v3")),
        *(f"collections {name}" for name in ("OrderedDict", "Counter")),
        *(f"{module} set" for module in ("__builtin__", "builtins")),
        *(f"torch.storage {name}" for name in ("UntypedStorage", "TypedStorage")),
        *("torch Size", "torch device", "torch Tensor", "torch.nn.parameter Parameter"),
        "_codecs encode",
    }
)
TYPES = frozenset(
    "float16 float32 float64 bfloat16 half float double int8 int16 int32 int64 uint8 uint16 uint32 "
    "uint64 bool long int short complex64 complex128 float8_e4m3fn float8_e5m2".split()
)
STORAGES = {
    f"torch {name}Storage": dtype
    for name, dtype in {
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Float": "float32",
        "Double": "float64",
        "Bool": "bool",
        "Byte": "uint8",
        "Char": "int8",
        "Short": "int16",
        "Int": "int32",
        "Long": "int64",
    }.items()
}
SPECIAL = {  # tensors that aren't a plain block of numbers
    f"{REBUILD}qtensor": "quantized tensors",
    f"{REBUILD}sparse_tensor": "sparse tensors",
    f"{REBUILD}sparse_csr_tensor": "sparse tensors",
    f"{REBUILD}nested_tensor": "nested tensors",
    f"{REBUILD}meta_tensor_no_storage": "tensors without values (on the meta device)",
    "torch.serialization _get_layout": "sparse tensors",
    "torch per_tensor_affine": "quantized tensors",
    "torch per_channel_affine": "quantized tensors",
}


@dataclass(frozen=True)
class Contents:
    """What a pickle holds: the names that it looks up, in order, and how many tensors.

    `is_dictionary` tells whether all of it is one, `makes_objects` whether objects of classes are
    made the way that pickle makes them of modules.
    """

    names: tuple[str, ...]
    tensors: int
    protocol: int
    is_dictionary: bool
    makes_objects: bool

    @property
    def foreign(self) -> str | None:
        """The first name, `module.class`, that isn't part of a dictionary of tensors."""
        found = next((name for name in self.names if not _is_plain(name)), None)
        return cleaned(found.replace(" ", ".")) if found else None

    @property
    def special(self) -> str | None:
        """The first kind of tensor that isn't a plain block of numbers."""
        return next((SPECIAL[name] for name in self.names if name in SPECIAL), None)

    @property
    def is_module(self) -> bool:
        """True for a pickled module, alone or in a checkpoint."""
        is_known = any(name.startswith("torch.nn.modules.") for name in self.names)
        return self.makes_objects and (is_known or not self.is_dictionary)


def check_state_dict(data: bytes, title: str, is_legacy: bool = False) -> None:
    """Pass a dictionary of plain tensors as torch.save writes it, and refuse any other pickle.

    Raises:
        ModelError: with the name of the class, or the kind of tensor, that it holds.
    """
    contents = look(data, title, is_legacy)
    if contents.is_module:
        raise refused(title, f"a whole pickled module ({contents.foreign})")
    if contents.foreign:
        raise refused(title, f"a checkpoint with more than tensors ({contents.foreign})")
    if contents.special:
        raise refused(title, f"a checkpoint with {contents.special}")
    if contents.tensors > MOST_TENSORS:
        raise ModelError(f"{title} holds over {MOST_TENSORS} tensors, more than can be opened.")
    if contents.protocol != PROTOCOL:
        raise ModelError(
            f"{title} was saved with pickle protocol {contents.protocol}; save it with "
            "torch.save(module.state_dict(), path) and no further arguments."
        )


def look(data: bytes, title: str, is_legacy: bool = False) -> Contents:
    """Read the instructions of a pickle, in the format before torch 1.6 those of the object.

    Raises:
        ModelError: it is damaged or too long.
    """
    stream = io.BytesIO(data[:MOST_BYTES])
    try:
        for _ in range(BEFORE_THE_OBJECT if is_legacy else 0):
            for _ in _steps(stream, title):
                pass
        return _contents(_steps(stream, title))
    except DAMAGED as error:
        cause = "too long" if len(data) > MOST_BYTES else "damaged or cut short"
        raise ModelError(f"{title} is a PyTorch file whose list of tensors is {cause}.") from error


def recorded_tensors(data: bytes, title: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Type and shape of each tensor in a pickle that TorchScript wrote, in their order.

    Raises:
        ModelError: it is damaged.
    """
    try:
        return tuple(_tensors(_steps(io.BytesIO(data[:MOST_BYTES]), title)))
    except DAMAGED as error:
        raise ModelError(f"{title} is damaged: its record of inputs can't be read.") from error


def _tensors(steps: Iterator[tuple[str, object]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A tensor is a storage by its type and number, an offset, and then its shape as a tuple."""
    memo: dict[object, str] = {}
    name, storage = "", ""
    sizes: list[int] | None = None
    for step, argument in steps:
        if step in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = name
        name = memo.get(argument, "") if step in ("BINGET", "LONG_BINGET") else ""
        name = str(argument) if step == "GLOBAL" else name
        storage = STORAGES.get(name, storage)
        if step == "BINPERSID":
            sizes = []
        elif sizes is not None and isinstance(argument, int) and "INT" in step:
            sizes.append(argument)
        elif sizes is not None and "TUPLE" in step:
            yield storage, tuple(sizes[1:])
            sizes = None


def _steps(stream: BinaryIO, title: str) -> Iterator[tuple[str, object]]:
    for count, (step, argument, _) in enumerate(pickletools.genops(stream)):
        if count > MOST_STEPS:
            raise ModelError(f"{title} is a PyTorch file whose list of tensors is too long.")
        yield step.name, argument


def _contents(steps: Iterator[tuple[str, object]]) -> Contents:
    names: list[str] = []
    texts = ["", ""]  # the last two, of which STACK_GLOBAL makes a name
    tensors, protocol = 0, 0
    is_dictionary, makes_objects = None, False
    for step, argument in steps:
        if step in ("GLOBAL", "INST"):
            names.append(str(argument))
        elif step == "STACK_GLOBAL":
            names.append(" ".join(texts))
        elif isinstance(argument, str):
            texts = [texts[1], argument]
        elif step == "PROTO":
            protocol = int(str(argument))
        tensors += step == "BINPERSID"
        makes_objects |= step in ("NEWOBJ", "NEWOBJ_EX", "OBJ", "INST")
        if is_dictionary is None and step not in NO_VALUE:
            is_dictionary = step == "EMPTY_DICT" or names[:1] == ["collections OrderedDict"]
    return Contents(tuple(names), tensors, protocol, bool(is_dictionary), makes_objects)


def _is_plain(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    is_storage = module in ("torch", "torch.cuda") and attribute.endswith("Storage")
    is_type = module == "torch" and attribute in TYPES
    return name in PLAIN or name in SPECIAL or is_storage or is_type
