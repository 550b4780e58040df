"""NNCF: quantization after training, and compression of weights."""

import onnx
from onnx import version_converter

from benchmarks.quality.samples import Array, Sample
from benchmarks.quality.values import Outcome, Setting, best_of

INT4_OPSET = 21
CONVOLUTION = "Conv"


def quantize(sample: Sample, setting: Setting, seed: int) -> Outcome | None:
    """`nncf.quantize` where activations are rounded too, else `nncf.compress_weights`."""
    if setting.macs_removed or setting.masks:
        return None
    if setting.activation_bits < 32:
        models = _quantize(sample, setting, sample.calibration(seed))
        return best_of(models, sample, "`nncf.quantize`, correction of biases")
    if setting.weight_bits not in (8, 4) or not _is_dense(sample.proto):
        return None
    models = _compress(sample, setting, sample.calibration(seed))
    return best_of(models, sample, "`nncf.compress_weights`, convolutions stay float32")


def _quantize(sample: Sample, setting: Setting, x: Array) -> dict[str, onnx.ModelProto]:
    """With both ways to correct biases, or with the fast one alone where it can't do the other."""
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    weights = QuantizationParameters(per_channel=setting.granularity == "channel")
    has_attention = any(node.op_type == "Softmax" for node in sample.proto.graph.node)
    models = {}
    for name, is_fast in (("fast", True), ("accurate", False)):
        try:
            models[name] = nncf.quantize(
                _copy(sample.proto),
                _dataset(sample, x),
                subset_size=len(x),
                fast_bias_correction=is_fast,
                model_type=nncf.ModelType.TRANSFORMER if has_attention else None,
                advanced_parameters=AdvancedQuantizationParameters(
                    weights_quantization_params=weights
                ),
            )
        except RuntimeError:  # it loses its way where a convolution feeds a sum
            if is_fast:
                raise
    return models


def _compress(sample: Sample, setting: Setting, x: Array) -> dict[str, onnx.ModelProto]:
    """A scale per output channel; 4 bits also with the samples' help.

    Convolutions are left out, as ONNX Runtime refuses to run what this makes of them.
    """
    import nncf

    model = version_converter.convert_version(sample.proto, INT4_OPSET)
    scope = nncf.IgnoredScope(types=[CONVOLUTION], validate=False)
    if setting.weight_bits == 8:
        mode = nncf.CompressWeightsMode.INT8_SYM
        return {"INT8_SYM": nncf.compress_weights(model, mode=mode, ignored_scope=scope)}
    return {
        name: nncf.compress_weights(
            _copy(model),
            mode=nncf.CompressWeightsMode.INT4_SYM,
            ratio=1.0,
            group_size=-1,
            all_layers=True,
            ignored_scope=scope,
            dataset=_dataset(sample, x) if is_aware else None,
            subset_size=len(x),
            awq=is_aware or None,
            scale_estimation=is_aware or None,
        )
        for name, is_aware in (("INT4_SYM", False), ("INT4_SYM with AWQ and scales fitted", True))
    }


def _is_dense(model: onnx.ModelProto) -> bool:
    """True for a network that is more than convolutions and a classifier."""
    dense = sum(node.op_type in ("Gemm", "MatMul") for node in model.graph.node)
    return dense > 1


def _dataset(sample: Sample, x: Array) -> object:
    import nncf

    return nncf.Dataset([{sample.input_name: x[i : i + 1]} for i in range(len(x))])


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    found: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    return found
