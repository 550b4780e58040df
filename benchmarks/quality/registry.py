"""The methods that are compared, in the order of the table's columns."""

from benchmarks.quality import (
    explorer_side,
    nncf_side,
    plain,
    runtime_side,
    torch_pruning_side,
)
from benchmarks.quality.values import Method

METHODS = (
    Method("explorer", explorer_side.compensated, seeded=True),
    Method("explorer, without reconstruction", explorer_side.naive),
    Method("Torch-Pruning", torch_pruning_side.torch_pruning),
    Method("statistics measured again", torch_pruning_side.with_statistics),
    Method("plain", plain.plain),
    Method("NNCF", nncf_side.quantize, seeded=True),
    Method("ONNX Runtime", runtime_side.quantize),
)
