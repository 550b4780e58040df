"""Attention in one node: scores and mixtures, and projections where the node holds their weights.

Vaswani et al., arXiv 1706.03762, equation 1: softmax(Q K^T / sqrt(d)) V. Each of the two products
costs batch x heads x queries x keys x width of a head. Masks don't lower the count: a causal
product is counted whole, as torch does, since runtimes compute it in blocks and throw parts away.
"""

from explorer.graph.costs.registry import Call, formula
from explorer.graph.operators import CONTRIB


def _products(batch: int, queries: int, keys: int, score_width: int, value_width: int) -> int:
    """Both products; the widths are those of all query heads together."""
    return batch * queries * keys * (score_width + value_width)


@formula("Attention")
def attention(call: Call) -> int:
    """Scores and mixture for each query head; past keys come on top (ONNX operators, opset 23).

    Inputs are (batch, heads, length, width), or (batch, length, heads x width) with the numbers of
    heads as attributes; `past_key` is (batch, heads, past, width).
    """
    query, key, value = (call.input(k) for k in range(3))
    past = call.input(4)[2] if call.has(4) else 0
    if len(query) == 4:
        batch, heads, queries, width = query
        return _products(batch, queries, key[2] + past, heads * width, heads * value[3])
    batch, queries, score_width = query
    heads, groups = call.number("q_num_heads", 1), call.number("kv_num_heads", 1)
    return _products(batch, queries, key[1] + past, score_width, value[2] // groups * heads)


@formula("Attention DecoderMaskedSelfAttention", CONTRIB)
def projecting_attention(call: Call) -> int:
    """Projections and both products; X (batch, length, inputs), W (inputs, widths of q, k and v).

    `past` is (2, batch, heads, past, width): present keys are past and new ones.
    """
    return _projecting(call, past_at=4)


@formula("QAttention", CONTRIB)
def quantized_attention(call: Call) -> int:
    """As Attention of the same domain, in 8 bits; `past` is another input."""
    return _projecting(call, past_at=8)


def _projecting(call: Call, past_at: int) -> int:
    batch, length, inputs = call.input(0)
    columns = call.input(1)[1]
    sizes = call.node.attributes.get("qkv_hidden_sizes")
    query, _, value = sizes.as_ints() if sizes is not None else [columns // 3] * 3
    past = call.input(past_at)[3] if call.has(past_at) else 0
    projections = batch * length * inputs * columns
    return projections + _products(batch, length, length + past, query, value)


@formula("MultiHeadAttention", CONTRIB)
def multi_head_attention(call: Call) -> int:
    """Both products; what enters is projected already, maybe packed.

    Q (batch, length, width) with K and V (batch, keys, width) or (batch, heads, keys, width of a
    head); Q and (batch, keys, heads, 2, width of a head); or all in one,
    (batch, length, heads, 3, width of a head). `past_key` is (batch, heads, past, width of a head).
    """
    query = call.input(0)
    past = call.input(6)[2] if call.has(6) else 0
    if len(query) == 5:
        batch, length, heads, _, width = query
        return _products(batch, length, length + past, heads * width, heads * width)
    batch, length, width = query
    key = call.input(1)
    if len(key) == 5:
        return _products(batch, length, key[1] + past, width, width)
    value = call.input(2)
    if len(key) == 4:  # of another sequence: nothing is added to it
        return _products(batch, length, key[2], width, value[1] * value[3])
    return _products(batch, length, key[1] + past, width, value[2])


@formula("DecoderMaskedMultiHeadAttention", CONTRIB)
def one_step_attention(call: Call) -> int:
    """Both products for one new position: Q (batch, 1, width) and all keys so far.

    The cache may be longer than what is filled; it counts whole.
    """
    batch, length, width = call.input(0)
    keys = call.output(1)[2] if len(call.outputs) > 1 and call.outputs[1] else None
    if keys is None:
        keys = call.input(5)[2] if call.has(5) else _length_of(call.input(1))
    return _products(batch, length, keys, width, width)


def _length_of(key: tuple[int, ...]) -> int:
    return key[2] if len(key) == 4 else key[1]


@formula("GroupQueryAttention", CONTRIB)
def group_query_attention(call: Call) -> int:
    """Both products for each query head (Ainslie et al., arXiv 2305.13245).

    Q (batch, length, heads x width), or with K and V behind it where these aren't given;
    `past_key` (batch, kv heads, cache, width). A cache that is longer than what is filled counts
    whole.
    """
    batch, length, columns = call.input(0)
    heads, groups = call.number("num_heads", 1), call.number("kv_num_heads", 1)
    width = columns // heads if call.has(1) else columns // (heads + 2 * groups)
    past = call.input(3)[2] if call.has(3) else 0
    return _products(batch, length, length + past, heads * width, heads * width)
