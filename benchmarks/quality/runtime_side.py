"""ONNX Runtime's own quantizers: static for activations, blocks of weights for matrix products."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx

from benchmarks.quality.samples import Array, Sample, accuracy_of
from benchmarks.quality.values import Outcome, Setting, best_of

CALIBRATORS = ("MinMax", "Entropy", "Percentile")
BATCH = 32  # samples that are calibrated at a time, or less so that all batches are equal
BLOCK = 32  # weights that share a scale
BLOCK_BITS = (8, 4, 2)  # that there are kernels for


def quantize(sample: Sample, setting: Setting, seed: int) -> Outcome | None:
    """Static quantization where activations are rounded too, else blocks of matrix products."""
    if setting.macs_removed or setting.masks:
        return None
    if setting.activation_bits < 32:
        models = {name: _static(sample, setting, seed, name) for name in CALIBRATORS}
        return best_of(models, sample, "`quantize_static`, calibrated by")
    return _blocks(sample, setting) if setting.weight_bits in BLOCK_BITS else None


def _static(sample: Sample, setting: Setting, seed: int, calibrator: str) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(sample.path, prepared)
        quantize_static(
            prepared,
            quantized,
            _reader(sample.input_name, sample.calibration(seed)),
            per_channel=setting.granularity == "channel",
            calibrate_method=CalibrationMethod[calibrator],
        )
        return onnx.load(quantized)


def _reader(name: str, x: Array) -> object:
    """The calibration samples, in batches, as the runtime reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    size = math.gcd(len(x), BATCH)  # histograms can't be made of unequal batches

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the runtime has no types
        def __init__(self) -> None:
            self.batches: Iterator[Array] = (x[i : i + size] for i in range(0, len(x), size))

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def _blocks(sample: Sample, setting: Setting) -> Outcome | None:
    """Weights of MatMul nodes, rounded to nearest; None for a network without any."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    constants = {tensor.name for tensor in sample.proto.graph.initializer}
    products = [n for n in sample.proto.graph.node if n.op_type == "MatMul"]
    if not any(node.input[1] in constants for node in products):
        return None
    copy = onnx.ModelProto.FromString(sample.proto.SerializeToString())
    quantizer = MatMulNBitsQuantizer(
        copy, bits=setting.weight_bits, block_size=BLOCK, is_symmetric=True
    )
    quantizer.process()
    note = f"`MatMulNBits`, a scale for {BLOCK} weights; all but matrix products stay float32"
    return Outcome(accuracy_of(quantizer.model.model, sample), note=note)
