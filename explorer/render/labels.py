"""The one place of every label: what recipes, numbers and columns are called.

The page, the panel, the tables, the exports and the shell import these; `docs/glossary.md` says
what the words mean. Importing this module loads nothing heavy.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from explorer.recipe import WEIGHT_BITS
from explorer.storage_types import BY_WIDTH


def precision(bits: int) -> str:
    """What a width is called: INT8, FP32; 6-bit where no storage type has this width.

    >>> [precision(bits) for bits in (32, 16, 8, 6, 2)]
    ['FP32', 'FP16', 'INT8', '6-bit', 'INT2']
    """
    return next((kind.label for kind in BY_WIDTH if kind.bits == bits), f"{bits}-bit")


# Fields of a `Recipe`.
RECIPE: Mapping[str, str] = MappingProxyType(
    {
        "pattern": "Pruning",
        "ratio": "Pruning ratio",
        "scope": "Scope",
        "criterion": "Pruning criterion",
        "round_to": "Channel alignment",
        "weight_bits": "Weight bits",
        "activation_bits": "Activation bits",
        "bits_scope": "Bit allocation",
        "int8_range": "INT8 range",
        "granularity": "Quantization granularity",
        "group_size": "Group size",
        "widths": "Also prune the hidden dimension",
        "compensate": "Weight reconstruction",
        "keep_metadata": "Keep exporter metadata",
        "short_names": "Short names",
        "seed": "Seed",
        "layers": "Layer overrides",
    }
)

# Values of a `Recipe`, by field.
PATTERNS = {
    "none": "None",
    "channel": "Structured (channels)",
    "unstructured": "Unstructured",
    "2:4": "2:4 sparsity",
    "4:8": "4:8 sparsity",
    "block": "Block",
}
QUANTIZATION_ONLY = "Quantization only"  # a run of pattern `none`
ORIGINAL = "Original"
PRECISIONS = {bits: precision(bits) for bits in WEIGHT_BITS}
SCOPES = {"global": "Global", "layer": "Layer-wise"}
CRITERIA = {
    "reconstruction": "Reconstruction error",
    "l1": "Magnitude (L1)",
    "l2": "Magnitude (L2)",
    "random": "Random",
}
ALLOCATIONS = {"layer": "Uniform", "global": "Mixed precision"}
INT8_RANGES = {"reduced": "Reduced (any processor)", "full": "Full (VNNI, Arm)"}
GRANULARITIES = {"tensor": "Per-tensor", "channel": "Per-channel", "group": "Per-group"}
VALUES: Mapping[str, Mapping[Any, str]] = MappingProxyType(
    {
        "pattern": PATTERNS,
        "scope": SCOPES,
        "criterion": CRITERIA,
        "weight_bits": PRECISIONS,
        "activation_bits": PRECISIONS,
        "bits_scope": ALLOCATIONS,
        "int8_range": INT8_RANGES,
        "granularity": GRANULARITIES,
    }
)
WAYS = {"grid": "Grid", "random": "Random"}  # of a sweep
AIMS = {"size": "Size", "macs": "MACs", "time": "Latency"}  # of an accuracy budget

# Numbers of a model.
NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "file_bytes": "File size",
        "gzip_bytes": "Gzip size",
        "packed_bytes": "Packed size (theoretical)",
        "params": "Parameters",
        "nonzero_params": "Nonzero parameters",
        "macs": "MACs",
        "peak_activation_bytes": "Peak activation memory",
        "latency": "Latency",
        "latency_ratio": "Latency ratio",
    }
)

# Columns of a plan; pages begin them with a capital.
LAYER_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "layer": "layer",
        "op": "operator",
        "channels": "channels",
        "removable": "prunable",
        "kept": "remaining",
        "zeros": "sparsity",
        "bits": "bits",
        "storage": "stored as",
        "coupled": "coupled with",
        "why": "constraint",
    }
)

# Headings that the page and the exports share.
INSIGHTS = "Insights"
REPRODUCE = "Reproduce"
RUNS = "Runs"
TRADE_OFF = "Trade-off"
PARETO_FRONT = "Pareto front"
PARETO_OPTIMAL = "Pareto-optimal"

# Presets of the panel, by their key in `js/presets.js`.
PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "original": "Original",
        "half_macs": "Half the MACs",
        "int8": "INT8 (W8A8)",
        "int4": "INT4 weights",
        "fits": "Fits 100 kB",
    }
)


def capitalized(label: str) -> str:
    """With a capital at its head: coupled with, Coupled with."""
    return label[:1].upper() + label[1:]


def precision_text(weight_bits: int, activation_bits: int) -> str:
    """Both widths in short: W8A8, INT8 weights, INT8 activations; empty for FP32.

    >>> precision_text(8, 8), precision_text(4, 32), precision_text(32, 8)
    ('W8A8', 'INT4 weights', 'INT8 activations')
    """
    if weight_bits < 32 and activation_bits < 32:
        return f"W{weight_bits}A{activation_bits}"
    if weight_bits < 32:
        return f"{precision(weight_bits)} weights"
    return f"{precision(activation_bits)} activations" if activation_bits < 32 else ""
