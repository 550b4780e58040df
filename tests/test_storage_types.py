"""What is said of each storage type, against ONNX's own schemas and types."""

import ml_dtypes
import onnx
import onnx_ir as ir
import pytest

from explorer.graph.operators import element_type
from explorer.storage_types import (
    BY_WIDTH,
    FLOAT16,
    FLOAT32,
    INT2,
    INT4,
    INT8,
    INT8_FULL,
    INT8_REDUCED,
    STORAGE_TYPES,
    UINT8,
    WEIGHT_INTEGERS,
    StorageType,
    holding,
    integer_type,
    type_name,
    wider_types,
)

by_name = pytest.mark.parametrize("storage", STORAGE_TYPES.values(), ids=STORAGE_TYPES)
integers = pytest.mark.parametrize("storage", WEIGHT_INTEGERS, ids=lambda each: each.name)


@by_name
def test_bits_and_names_are_those_of_onnx(storage: StorageType) -> None:
    dtype = ir.DataType[storage.onnx_name]
    assert element_type(storage) == dtype
    assert dtype.bitwidth == storage.bits
    stored_as = "int8" if storage.in_kernels else storage.name
    assert str(dtype.numpy()) == stored_as == type_name(dtype.name)
    assert (storage.bits % 8 == 0) == (storage.per_byte <= 1)


@integers
def test_ranges_are_those_of_the_arrays_that_hold_them(storage: StorageType) -> None:
    limits = ml_dtypes.iinfo(element_type(storage).numpy())
    assert storage.range == (limits.min, limits.max)


@integers
def test_the_opset_is_the_first_that_turns_a_channel_back_into_floats(storage: StorageType) -> None:
    """ONNX took scales for each channel in opset 13; the types of integers came one by one."""

    def takes(opset: int) -> bool:
        schema = onnx.defs.get_schema("DequantizeLinear", opset)
        types = {kind for each in schema.type_constraints for kind in each.allowed_type_strs}
        return f"tensor({storage.onnx_name.lower()})" in types and "axis" in schema.attributes

    assert takes(storage.opset)
    assert not takes(storage.opset - 1)


def test_a_width_is_held_by_the_next_larger_type() -> None:
    held = {bits: holding(bits) for bits in (2, 3, 4, 5, 8, 16, 32)}
    assert held == {2: INT2, 3: INT4, 4: INT4, 5: INT8, 8: INT8, 16: FLOAT16, 32: FLOAT32}
    assert [kind.bits for kind in BY_WIDTH] == sorted(kind.bits for kind in BY_WIDTH)


def test_wider_types_hold_the_same_integers() -> None:
    assert wider_types(INT2) == (INT2, INT4, INT8)
    assert wider_types(INT4) == (INT4, INT8)
    assert wider_types(INT8_FULL) == (INT8_FULL,)
    assert wider_types(FLOAT16) == (FLOAT16,)


def test_levels_fit_their_type_and_kernels_without_vnni() -> None:
    for kind in WEIGHT_INTEGERS:
        for bits in range(2, kind.bits + 1):
            low, high = kind.levels(bits)
            assert kind.range[0] <= low == -high
            assert high <= 2 ** (bits - 1) - 1
    most = max(INT8_REDUCED.levels(8))
    assert 2 * UINT8.range[1] * most <= 2**15 - 1 < 2 * UINT8.range[1] * (most + 1)


def test_only_integers_of_weights_are_found_as_such() -> None:
    assert integer_type("int8-reduced") == INT8_REDUCED
    assert integer_type("uint8") is None
    assert integer_type("float16") is integer_type("int32") is integer_type("uint4") is None


def test_labels_are_short() -> None:
    assert (UINT8.label, INT2.label, FLOAT32.label) == ("UINT8", "INT2", "FP32")
