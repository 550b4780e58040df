"""Why layers are coupled and how to run a file, in sentences for people new to both."""

from collections.abc import Sequence

from explorer.reasons import on_request
from explorer.report import GroupPlan, LayerPlan
from explorer.storage_types import INT8_FULL, INT8_REDUCED

NAMES_SHOWN = 3
TIES = {
    "Add": "adds them channel by channel",
    "Attention": "needs the same heads of each",
    "Concat": "concatenates them",
    "Conv": "filters each channel by itself",
    "Div": "divides them channel by channel",
    "Einsum": "needs the same heads of each",
    "GRU": "needs both of its weights for each hidden unit",
    "LSTM": "needs both of its weights for each hidden unit",
    "MatMul": "needs the same heads of each",
    "Mul": "multiplies them channel by channel",
    "RNN": "needs both of its weights for each hidden unit",
    "Sub": "subtracts them channel by channel",
    "Sum": "adds them channel by channel",
}
OTHER_TIE = "ties their channels one to one"
REDUCED = (
    "Runs anywhere: its INT8 weights use the range −64 to 64, so that x86 processors without VNNI, "
    "which add products in 16 bits, compute the same as all others."
)
FULL = (
    "For processors with VNNI, and for Arm: its INT8 weights use the full range. On x86 processors "
    "without VNNI, 16-bit sums overflow and the results are wrong."
)
WEIGHT_ONLY = (
    "Only its weights are quantized: open it in ONNX Runtime with the session option "
    "session.disable_quant_qdq=1, so that they are dequantized once, when it is loaded, and not at "
    "every inference."
)


def few(names: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """The first of some names, and how many more there are."""
    listed = ", ".join(names[:shown])
    return f"{listed} and {len(names) - shown} more" if len(names) > shown else listed


def group_sentences(groups: Sequence[GroupPlan]) -> list[str]:
    """One sentence for each group of several layers; groups of the same layers share one."""
    sentences = {}
    for group in groups:
        if len(group.members) > 1:
            sentences[group.members] = _sentence(group)
    return list(sentences.values())


def file_sentences(layers: Sequence[LayerPlan], is_weight_only: bool) -> list[str]:
    """What to know before running a compressed file; `layers` are those of its plan."""
    stored = {layer.storage for layer in layers if not layer.closed}
    found = {INT8_REDUCED.name: REDUCED, INT8_FULL.name: FULL}
    ranges = [sentence for name, sentence in found.items() if name in stored]
    return ranges + [WEIGHT_ONLY] * is_weight_only


def _sentence(group: GroupPlan) -> str:
    *others, last = [str(name) for name in group.members]
    names = f"{', '.join(others)} and {last}"
    if len(group.members) > 2 * NAMES_SHOWN:
        names = few(group.members, 2 * NAMES_SHOWN)
    reasons = [_tie(node) for node in group.joined_by[:NAMES_SHOWN]]
    more = len(group.joined_by) - NAMES_SHOWN
    if more > 0:
        reasons.append(f"{more} more nodes do the same")
    why = f": {'; '.join(reasons)}" if reasons else ""
    guard = f" This dimension {on_request(group.guard)}." if group.guard else ""
    return f"{names} are coupled{why}.{guard}"


def _tie(node: str) -> str:
    op = node.partition(" ")[0]
    return f"{node} {TIES.get(op, OTHER_TIE)}"
