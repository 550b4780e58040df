"""Sizes for open dimensions: by layout, name and trial, held against what ONNX Runtime gives."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import pytest
from conftest import run_onnx
from onnx import helper
from onnx_net import FLOAT, INT64, Net
from test_errors import is_listed

import explorer
from explorer import Recipe
from explorer.errors import MeasurementError, ModelError
from explorer.formats import onnx_file
from explorer.graph.shapes import infer_probes, infer_shapes, input_sizes
from explorer.measure.examples import make_examples
from explorer.measure.runtime import example_inputs, open_session

Dims = Sequence[int | str | None]


def nchw(*dims: int | str | None) -> bytes:
    net = Net()
    x = net.do("Conv", net.input("x", *dims), net.w(8, 3, 3, 3), pads=[1] * 4)
    return net.bytes(net.do("Conv", net.do("Relu", x), net.w(5, 8, 1, 1)))


def turned(order: list[int], *dims: int | str | None, batched: bool = True) -> bytes:
    """An image with its channels last, or without a batch, scaled and turned for a convolution."""
    net = Net()
    x = net.do("Mul", net.input("x", *dims), net.constant(np.array(1 / 255, np.float32)))
    x = net.do("Transpose", x, perm=order)
    if not batched:
        x = net.do("Unsqueeze", x, net.ints(0))
    x = net.do("Relu", net.do("Conv", x, net.w(8, 3, 1, 1)))
    return net.bytes(net.do("Conv", x, net.w(5, 8, 1, 1)))


def without_batch() -> bytes:
    net = Net()
    x = net.do("Unsqueeze", net.input("x", 3, "h", "w"), net.ints(0))
    return net.bytes(net.do("Conv", x, net.w(8, 3, 1, 1)))


def spectrogram(name: str | None) -> bytes:
    net = Net()
    x = net.do("Conv", net.input("x", "n", 1, 80, name), net.w(8, 1, 1, 1))
    return net.bytes(x)


def waveform(name: str, *dims: int | str | None) -> bytes:
    net = Net()
    x = net.input(name, *dims)
    x = net.do("Conv", x, net.w(4, 1, 400), strides=[160])
    return net.bytes(net.do("Conv", net.do("Relu", x), net.w(6, 4, 3)))


def recurrent(*dims: int | str | None, embeds: bool = False) -> bytes:
    """A time-major LSTM over features, or over ids."""
    net = Net()
    if embeds:
        x = net.do("Gather", net.w(20, 6), net.input("x", *dims, kind=INT64))
    else:
        x = net.input("x", *dims)
    return net.bytes(net.do("LSTM", x, net.w(1, 20, 6), net.w(1, 20, 5), hidden_size=5))


def encoder(*, names: bool = True, places: int = 512, mask: bool = True) -> bytes:
    """Token ids with a table of positions, and a mask; one attention head of 8."""
    net = Net()
    dims: tuple[tuple[str | None, str | None], ...] = (("batch", "sequence"),) * 2
    if not names:
        dims = ((None, None), (None, None))
    ids = net.input("input_ids", *dims[0], kind=INT64)
    length = net.do("Gather", net.do("Shape", ids), net.ints(1))
    table = net.do("Slice", net.w(1, places, 8), net.ints(0), length, net.ints(1))
    x = net.do("Add", net.do("Gather", net.w(30, 8), ids), table)
    q, k, v = (net.do("MatMul", x, net.w(8, 8)) for _ in range(3))
    scores = net.do("MatMul", q, net.do("Transpose", k, perm=[0, 2, 1]))
    if mask:
        given = net.do("Cast", net.input("attention_mask", *dims[1], kind=INT64), to=FLOAT)
        scores = net.do("Add", scores, net.do("Unsqueeze", given, net.ints(1)))
    x = net.do("MatMul", net.do("Softmax", scores, axis=-1), v)
    x = net.do("Relu", net.do("MatMul", x, net.w(8, 32)))
    return net.bytes(net.do("MatMul", x, net.w(32, 8)))


def decoder(ids: Dims, mask: Dims, past: Dims, layers: int = 2, places: int | None = None) -> bytes:
    """Attention with four heads of four over a cache, a feed-forward part of 32, logits.

    A name of `past` may have a place for the input's own name; `places` is how long its table of
    positions is, if it has one.
    """
    net = Net()
    x = net.do("Gather", net.w(20, 16), net.input("input_ids", *ids, kind=INT64))
    given = net.do("Cast", net.input("attention_mask", *mask, kind=INT64), to=FLOAT)
    given = net.do("Unsqueeze", given, net.ints(1, 2))
    if places is not None:  # the last ones of as many as the mask is long
        ends = net.do("Gather", net.do("Shape", "attention_mask"), net.ints(1))
        starts = net.do("Sub", ends, net.do("Gather", net.do("Shape", "input_ids"), net.ints(1)))
        x = net.do("Add", x, net.do("Slice", net.w(places, 16), starts, ends, net.ints(0)))
    outputs = []
    for layer in range(layers):
        heads = []
        for part in ("query", "key", "value"):
            split = net.do("Reshape", net.do("MatMul", x, net.w(16, 16)), net.ints(0, 0, 4, 4))
            head = net.do("Transpose", split, perm=[0, 2, 1, 3])
            if part != "query":
                name = f"past_key_values.{layer}.{part}"
                dims = [d.format(name) if isinstance(d, str) else d for d in past]
                cache = net.input(name, *dims)
                head = net.do("Concat", cache, head, axis=2)
                outputs.append(head)
            heads.append(head)
        scores = net.do("MatMul", heads[0], net.do("Transpose", heads[1], perm=[0, 1, 3, 2]))
        shares = net.do("Softmax", net.do("Add", scores, given), axis=-1)
        mixed = net.do("Transpose", net.do("MatMul", shares, heads[2]), perm=[0, 2, 1, 3])
        x = net.do("Add", x, net.do("Reshape", mixed, net.ints(0, 0, 16)))
        wide = net.do("Relu", net.do("MatMul", x, net.w(16, 32)))
        x = net.do("Add", x, net.do("MatMul", wide, net.w(32, 16)))
    return net.bytes(net.do("MatMul", x, net.w(16, 20)), *outputs)


def decoder_macs(now: int, past: int, layers: int = 2) -> int:
    attention = 2 * 4 * now * (now + past) * 4
    return layers * (now * 3 * 256 + attention + now * 2 * 16 * 32) + now * 16 * 20


def unet(steps: int, *dims: int | str | None) -> bytes:
    """Halved and doubled a few times, with a skip around all: other sizes don't meet again."""
    net = Net()
    x = skip = net.do("Conv", net.input("x", *dims), net.w(4, 3, 3, 3), pads=[1] * 4)
    for _ in range(steps):
        x = net.do("Relu", net.do("Conv", x, net.w(4, 4, 2, 2), strides=[2, 2]))
    for _ in range(steps):
        x = net.do("Relu", net.do("ConvTranspose", x, net.w(4, 4, 2, 2), strides=[2, 2]))
    return net.bytes(net.do("Conv", net.do("Concat", skip, x, axis=1), net.w(2, 8, 1, 1)))


def flattened(side: int) -> bytes:
    """Convolutions whose pixels all enter a matrix: only one size of the image fits."""
    net = Net()
    x = net.do("Conv", net.input("x", "n", 1, None, None), net.w(4, 1, 3, 3), pads=[1] * 4)
    x = net.do("Flatten", net.do("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    return net.bytes(net.do("Gemm", x, net.w(side * side, 10)))


def pooled(*kernels: int) -> bytes:
    """Convolutions without padding that eat up small images."""
    net = Net()
    x = net.input("x", "n", 3, "height", "width")
    for index, kernel in enumerate(kernels):
        x = net.do("Conv", x, net.w(4, 4 if index else 3, kernel, kernel), strides=[2, 2])
    return net.bytes(x)


def patches(side: int) -> bytes:
    """Patches of 4 x 4 pixels, with a table of their places."""
    net = Net()
    x = net.do("Conv", net.input("x", "n", 3, "h", "w"), net.w(8, 3, 4, 4), strides=[4, 4])
    places = (side // 4) ** 2
    x = net.do("Transpose", net.do("Reshape", x, net.ints(0, 8, -1)), perm=[0, 2, 1])
    x = net.do("Add", x, net.w(1, places, 8))
    batch = net.do("Gather", net.do("Shape", x), net.ints(0))
    length = net.do("Gather", net.do("Shape", x), net.ints(1))
    heads = net.do("Concat", batch, length, net.ints(2, 8), axis=0)  # as an exporter writes it
    x = net.do("Reshape", net.do("MatMul", x, net.w(8, 16)), heads)
    x = net.do("Transpose", x, perm=[0, 2, 3, 1])
    return net.bytes(net.do("MatMul", x, net.w(places, 3)))


def pair(first: Dims, second: Dims) -> bytes:
    """Two series side by side, and one matrix over both."""
    net = Net()
    a, b = net.input("a", *first), net.input("b", *second)
    return net.bytes(net.do("MatMul", net.do("Concat", a, b, axis=-1), net.w(6, 4)))


def doubled() -> bytes:
    """A series of an even length beside one of half of it."""
    net = Net()
    a, b = net.input("a", "batch", "2*n", 4), net.input("b", "batch", "n", 4)
    halves = net.do("Reshape", a, net.ints(0, -1, 8))
    return net.bytes(net.do("MatMul", net.do("Concat", halves, b, axis=2), net.w(12, 3)))


def unknown_operator() -> bytes:
    """ONNX knows no shape behind the attention of ONNX Runtime's own; it takes 64 places."""
    net = Net()
    x = net.do("Trilu", net.input("x", "batch", "sequence", 8), domain="com.microsoft")
    return net.bytes(net.do("MatMul", net.do("Add", x, net.w(1, 64, 8)), net.w(8, 3)))


def unchecked_operator() -> bytes:
    """ONNX infers this whatever the length; the runtime takes 64 only."""
    net = Net()
    x = net.input("x", "batch", "sequence", 8)
    return net.bytes(net.do("Einsum", x, net.w(64, 5), equation="ntd,tk->ndk"))


def numbered_places() -> bytes:
    """Positions are counted and looked up, past whose 64 there is nothing."""
    net = Net()
    ids = net.input("ids", "batch", "sequence", kind=INT64)
    length = net.do("Gather", net.do("Shape", ids), net.constant(np.array(1)))
    places = net.do("Range", net.constant(np.array(0)), length, net.constant(np.array(1)))
    x = net.do("Add", net.do("Gather", net.w(30, 8), ids), net.do("Gather", net.w(64, 8), places))
    return net.bytes(net.do("MatMul", x, net.w(8, 3)))


def windows(op: str) -> bytes:
    """One window of 300 after another; too short a signal gives one that isn't there."""
    net = Net()
    x = net.input("x", "n", 1, None)
    if op == "Conv":
        return net.bytes(net.do(op, x, net.w(2, 1, 300), strides=[200]))
    return net.bytes(net.do(op, x, kernel_shape=[300], strides=[200]))


def blocks(op: str, *dims: int | str | None) -> bytes:
    """Something that takes certain sizes only."""
    net = Net()
    x = net.input("x", *dims)
    if op == "Reshape":
        return net.bytes(net.do(op, x, net.ints(4, 128)))
    if op == "SpaceToDepth":
        return net.bytes(net.do(op, x, blocksize=6))
    return net.bytes(net.do(op, x, net.w(3, 8, 2, 2)))


def with_state() -> bytes:
    """A recurrent cell that is handed its state, as a detector of speech is."""
    net = Net()
    x, state = net.input("x", None, None, 6), net.input("state", 1, None, 5)
    net.nodes.append(
        helper.make_node("GRU", [x, net.w(1, 15, 6), net.w(1, 15, 5), "", "", state], ["y"], "gru")
    )
    net.nodes[-1].attribute.append(helper.make_attribute("hidden_size", 5))
    return net.bytes(net.do("Relu", "y"))


PAST = "past_sequence_length"
CACHE = ("batch_size", 4, PAST, 4)
FAMILIES: dict[str, tuple[Callable[[], bytes], dict[str, tuple[int, ...]], int | None]] = {
    "nchw": (lambda: nchw("n", 3, "h", "w"), {"x": (1, 3, 224, 224)}, 224**2 * (216 + 40)),
    "nchw unnamed": (lambda: nchw(None, 3, None, None), {"x": (1, 3, 224, 224)}, None),
    "nchw all open": (lambda: nchw(*[None] * 4), {"x": (1, 3, 224, 224)}, None),
    "minus one": (lambda: nchw(-1, 3, -1, -1), {"x": (1, 3, 224, 224)}, None),
    "zero": (lambda: nchw(0, 3, 8, 8), {"x": (1, 3, 8, 8)}, 64 * (216 + 40)),
    "nhwc": (
        lambda: turned([0, 3, 1, 2], "n", "h", "w", 3),
        {"x": (1, 224, 224, 3)},
        224**2 * 64,
    ),
    "nhwc unnamed": (
        lambda: turned([0, 3, 1, 2], None, None, None, 3),
        {"x": (1, 224, 224, 3)},
        224**2 * 64,
    ),
    "nhwc all open": (
        lambda: turned([0, 3, 1, 2], *[None] * 4),
        {"x": (1, 224, 224, 3)},
        224**2 * 64,
    ),
    "hwc": (
        lambda: turned([2, 0, 1], None, None, 3, batched=False),
        {"x": (224, 224, 3)},
        224**2 * 64,
    ),
    "chw": (without_batch, {"x": (3, 224, 224)}, 224**2 * 24),
    "spectrogram": (lambda: spectrogram("frames"), {"x": (1, 1, 80, 128)}, 80 * 128 * 8),
    "spectrogram unnamed": (lambda: spectrogram(None), {"x": (1, 1, 80, 128)}, 80 * 128 * 8),
    "waveform": (
        lambda: waveform("x", "n", 1, "samples"),
        {"x": (1, 1, 16000)},
        98 * 1600 + 96 * 72,
    ),
    "waveform unnamed": (lambda: waveform("x", None, 1, None), {"x": (1, 1, 1024)}, None),
    "waveform by its input": (
        lambda: waveform("waveform", None, 1, None),
        {"waveform": (1, 1, 16000)},
        None,
    ),
    "time first": (lambda: recurrent("seq", "batch", 6), {"x": (128, 1, 6)}, 128 * 20 * 11),
    "time first unnamed": (lambda: recurrent(None, None, 6), {"x": (128, 1, 6)}, 128 * 20 * 11),
    "time first ids": (lambda: recurrent(None, None, embeds=True), {"x": (128, 1)}, None),
    "features open": (lambda: recurrent(*[None] * 3), {"x": (128, 1, 6)}, None),
    "encoder": (encoder, {"input_ids": (1, 128), "attention_mask": (1, 128)}, None),
    "encoder of 64 places": (
        lambda: encoder(places=64),
        {"input_ids": (1, 64), "attention_mask": (1, 64)},
        None,
    ),
    "encoder unnamed": (
        lambda: encoder(names=False),
        {"input_ids": (1, 128), "attention_mask": (1, 128)},
        None,
    ),
    "decoder, total length": (
        lambda: decoder(
            ("batch_size", "sequence_length"), ("batch_size", "total_sequence_length"), CACHE
        ),
        {"input_ids": (1, 128), "attention_mask": (1, 256)},
        decoder_macs(128, 128),
    ),
    "decoder, sum": (
        lambda: decoder(
            ("batch_size", "sequence_length"), ("batch_size", f"{PAST} + sequence_length"), CACHE
        ),
        {"input_ids": (1, 128), "attention_mask": (1, 256)},
        decoder_macs(128, 128),
    ),
    "decoder, one by one": (
        lambda: decoder(("batch_size", 1), ("batch_size", f"{PAST} + 1"), CACHE),
        {"input_ids": (1, 1), "attention_mask": (1, 129)},
        decoder_macs(1, 128),
    ),
    "decoder, one by one, total": (
        lambda: decoder(("batch", 1), ("batch", "total_sequence_length"), ("batch", 4, "past", 4)),
        {"input_ids": (1, 1), "attention_mask": (1, 129)},
        decoder_macs(1, 128),
    ),
    "decoder, names without a relation": (
        lambda: decoder(("batch", "s0"), ("batch", "s1"), ("batch", 4, "s2", 4)),
        {"input_ids": (1, 128), "attention_mask": (1, 256)},
        decoder_macs(128, 128),
    ),
    "decoder unnamed": (
        lambda: decoder((None, None), (None, None), (None, 4, None, 4)),
        {"input_ids": (1, 128), "attention_mask": (1, 256)},
        decoder_macs(128, 128),
    ),
    "decoder, numbered": (
        lambda: decoder(("ids_0", "ids_1"), ("m_0", "m_1"), ("{}_dim_0", 4, "{}_dim_2", 4), 9),
        {"input_ids": (1, 128), "attention_mask": (1, 256)},
        decoder_macs(128, 128, 9),
    ),
    "decoder of 50 places": (
        lambda: decoder(("batch", "s0"), ("batch", "s1"), ("batch", 4, "s2", 4), places=50),
        {"input_ids": (1, 8), "attention_mask": (1, 16)},
        decoder_macs(8, 8),
    ),
    "decoder of 80 places": (
        lambda: decoder(
            ("b", "sequence_length"), ("b", "total_length"), ("b", 4, "past", 4), places=80
        ),
        {"input_ids": (1, 32), "attention_mask": (1, 64)},
        decoder_macs(32, 32),
    ),
    "least size": (lambda: pooled(7, 7, 7), {"x": (1, 3, 224, 224)}, None),
    "large least size": (lambda: pooled(*[9] * 5), {"x": (1, 3, 256, 256)}, None),
    "multiples": (lambda: unet(5, "n", 3, "h", "w"), {"x": (1, 3, 224, 224)}, None),
    "multiples of 64": (lambda: unet(6, "n", 3, "h", "w"), {"x": (1, 3, 256, 256)}, None),
    "one size, 28": (lambda: flattened(28), {"x": (1, 1, 28, 28)}, None),
    "one size, 64": (lambda: flattened(64), {"x": (1, 1, 64, 64)}, None),
    "patches of 32": (lambda: patches(32), {"x": (1, 3, 32, 32)}, None),
    "pair": (lambda: pair(("n", "t", 2), ("n", "t", 4)), {"a": (1, 128, 2)}, 128 * 24),
    "pair unnamed": (lambda: pair((None, None, 2), (None, None, 4)), {"a": (1, 128, 2)}, 128 * 24),
    "half": (doubled, {"a": (1, 256, 4), "b": (1, 128, 4)}, 128 * 36),
    "only a run tells": (unknown_operator, {"x": (1, 64, 8)}, None),
    "only a run refuses": (unchecked_operator, {"x": (1, 64, 8)}, None),
    "64 places to look up": (numbered_places, {"ids": (1, 64)}, 64 * 24),
    "deconvolution": (
        lambda: blocks("ConvTranspose", *[None] * 4),
        {"x": (1, 3, 224, 224)},
        224**2 * 96,
    ),
    "a state": (with_state, {"x": (128, 1, 6), "state": (1, 1, 5)}, 128 * 15 * 11),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[bytes, dict[str, tuple[int, ...]], int | None]:
    make, sizes, macs = FAMILIES[request.param]
    return make(), sizes, macs


def test_sizes_are_those_that_the_graph_needs(
    family: tuple[bytes, dict[str, tuple[int, ...]], int | None],
) -> None:
    data, sizes, macs = family
    model = explorer.load(data)
    assert input_sizes(model).items() >= sizes.items()
    profile = explorer.profile(model)
    assert profile.input_sizes == input_sizes(model)
    assert macs is None or (profile.macs, profile.uncounted_ops) == (macs, ())
    names = [spec.name for spec in model.outputs]
    outputs = dict(zip(names, open_session(model).run(None, example_inputs(model)), strict=True))
    known = {name: dims for name, dims in infer_shapes(model).dims.items() if name in outputs}
    assert known == {name: outputs[name].shape for name in known}


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (numbered_places(), (1, 64)),
        (windows("Conv"), (1, 1, 1024)),
        (windows("AveragePool"), (1, 1, 1024)),
        (blocks("Reshape", 1, "t"), (1, 512)),
        (blocks("SpaceToDepth", "n", 1, "h", "w"), (1, 1, 384, 384)),
        (blocks("ConvTranspose", *[None] * 4), (1, 3, 224, 224)),
        (encoder(places=64), (1, 64)),
    ],
    ids=["Gather", "Conv", "AveragePool", "Reshape", "SpaceToDepth", "ConvTranspose", "Add"],
)
def test_most_sizes_are_found_without_a_run(data: bytes, size: tuple[int, ...]) -> None:
    model = explorer.Model.of_file(onnx_file.load(data))
    assert next(iter(input_sizes(model).values())) == size
    run_onnx(data, example_inputs(model))


def fixed(data: bytes, sizes: dict[str, tuple[int, ...]]) -> explorer.Model:
    """The same network in a file that leaves nothing open."""
    proto = onnx.load_model_from_string(data)
    for value in proto.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes[value.name], strict=True):
            dim.dim_value = size
    return explorer.load(proto.SerializeToString(), "model")


RECIPE = Recipe("channel", 0.5, round_to=1, compensate=False)


def test_an_open_network_is_pruned_as_a_fixed_one(
    family: tuple[bytes, dict[str, tuple[int, ...]], int | None],
) -> None:
    model = explorer.load(family[0])
    plan = explorer.plan(model, RECIPE)
    of_fixed = explorer.plan(fixed(family[0], input_sizes(model)), RECIPE)
    kept = {layer.name: layer.kept for layer in plan.layers}
    assert kept.items() >= {layer.name: layer.kept for layer in of_fixed.layers}.items()
    small = explorer.apply(model, plan)
    assert explorer.estimate(model, plan).macs == explorer.profile(small).macs
    assert input_sizes(explorer.load(small.data)) == input_sizes(small) == input_sizes(model)


@pytest.mark.parametrize(
    "name",
    [
        *("nchw", "nhwc", "hwc", "waveform", "encoder", "multiples", "patches of 32"),
        *("decoder, total length", "decoder, sum", "decoder, one by one", "decoder unnamed"),
    ],
)
def test_what_is_left_of_a_network_runs_at_other_sizes(name: str) -> None:
    """As the network does that was pruned with all sizes fixed."""
    data = FAMILIES[name][0]()
    model = explorer.load(data)
    small = explorer.apply(model, explorer.plan(model, RECIPE))
    assert explorer.profile(small).params < explorer.profile(model).params
    for shapes in infer_probes(model).shapes[1:3]:
        if shapes.misfits:
            continue
        sizes = {spec.name: shapes.dims[spec.name] for spec in model.inputs}
        of_fixed = fixed(data, sizes)
        small_fixed = explorer.apply(of_fixed, explorer.plan(of_fixed, RECIPE))
        feed = example_inputs(model, sizes=sizes)
        pairs = zip(run_onnx(small.data, feed), run_onnx(small_fixed.data, feed), strict=True)
        for output, expected in pairs:
            np.testing.assert_allclose(output, expected, atol=1e-5)


def test_sizes_show_what_follows_which_dimension() -> None:
    """Unrelated names differ, related ones stay related, and what allows one size keeps it."""
    sizes = {
        name: [
            tuple(shapes.dims[spec.name] for spec in model.inputs)
            for shapes in infer_probes(model).shapes
            if not shapes.misfits
        ]
        for name in ("nchw", "decoder, total length", "one size, 28")
        for model in [explorer.load(FAMILIES[name][0]())]
    }
    assert len({h == w for ((_, _, h, w),) in sizes["nchw"]}) == 2
    of_decoder = sizes["decoder, total length"]
    assert len(of_decoder) == 4
    assert all(ids[1] + past[2] == mask[1] for ids, mask, past, *_ in of_decoder)
    assert len({ids[1] == past[2] for ids, mask, past, *_ in of_decoder}) == 2
    assert {image[1:] for (image,) in sizes["one size, 28"]} == {(1, 28, 28)}
    assert len({image[0] for (image,) in sizes["one size, 28"]}) > 1


def test_set_sizes_are_those_of_every_number() -> None:
    data = nchw("n", 3, "h", "w")
    model = explorer.load(data, input_sizes={"x": (2, 3, 40, 60)})
    assert model.data == data and model.inputs[0].shape == ("n", 3, "h", "w")
    profile = explorer.profile(model)
    assert (profile.input_sizes, profile.macs) == ({"x": (2, 3, 40, 60)}, 2 * 40 * 60 * 256)
    plan = explorer.plan(model, RECIPE)
    small = explorer.apply(model, plan)
    assert explorer.profile(small).input_sizes == {"x": (2, 3, 40, 60)}
    assert explorer.estimate(model, plan).macs == explorer.profile(small).macs
    assert explorer.load(small.data).inputs[0].shape == ("n", 3, "h", "w")
    assert example_inputs(small)["x"].shape == (2, 3, 40, 60)


def test_dimensions_that_were_not_set_follow() -> None:
    data = FAMILIES["decoder, sum"][0]()
    model = explorer.load(data, input_sizes={"input_ids": (2, 5)})
    sizes = input_sizes(model)
    assert sizes["attention_mask"] == (2, 128 + 5)
    assert sizes["past_key_values.0.key"] == (2, 4, 128, 4)
    model = explorer.load(data, input_sizes={"input_ids": (1, 5), "attention_mask": (1, 12)})
    assert input_sizes(model)["past_key_values.1.value"] == (1, 4, 7, 4)
    assert explorer.profile(model).macs == decoder_macs(5, 7)


class Recorder:
    """A clock that stands still a while for each look, and keeps what was fed."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.01
        return self.now_s


def test_both_models_are_timed_at_the_sizes_that_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    data, fed = nchw("n", 3, "h", "w"), []
    from explorer.measure import latency

    def remembering(
        model: explorer.Model, sizes: Mapping[str, tuple[int, ...]] | None = None
    ) -> dict[str, np.ndarray]:
        feed = example_inputs(model, sizes=sizes)
        fed.append(feed["x"].shape)
        return feed

    monkeypatch.setattr(latency, "example_inputs", remembering)
    model = explorer.load(data, input_sizes={"x": (1, 3, 20, 30)})
    small = explorer.apply(model, explorer.plan(model, RECIPE))
    for candidate in (small, explorer.load(small.data)):
        explorer.measure_latency(candidate, against=model, clock=Recorder())
    assert fed == [(1, 3, 20, 30)] * 4


@pytest.mark.parametrize(
    ("family", "sizes", "sentence"),
    [
        ("nchw", {"image": (1, 3, 8, 8)}, "There is no input 'image' to set the size of"),
        ("nchw", {"x": (3, 8, 8)}, "Input 'x' has 4 dimensions (n x 3 x h x w), but 3 sizes"),
        ("nchw", {"x": (1, 4, 8, 8)}, "Input 'x' is n x 3 x h x w, so it can't be 1 x 4 x 8 x 8"),
        ("nchw", {"x": (1, 3, 0, 8)}, "Input 'x' can't be 1 x 3 x 0 x 8"),
        ("nchw", {"x": (1, 3, -5, 8)}, "whole numbers from 1 to 2,147,483,647"),
        ("nchw", {"x": (1, 3, 2**40, 8)}, "Input 'x' can't be"),
        ("nchw", {"x": "large"}, "The size of input 'x' is large; it must be whole numbers"),
        ("nchw", {"x": 8}, "The size of input 'x' is 8; it must be whole numbers"),
        ("nchw", {"x": (1, 3, 8.5, 8)}, "it must be whole numbers"),
        ("multiples", {"x": (1, 3, 100, 64)}, "can't run with x of 1 x 3 x 100 x 64"),
        ("least size", {"x": (1, 3, 9, 9)}, "can't run with x of 1 x 3 x 9 x 9"),
        ("waveform", {"x": (1, 1, 500)}, "can't run with x of 1 x 1 x 500"),
        ("one size, 28", {"x": (1, 1, 32, 32)}, "can't run with x of 1 x 1 x 32 x 32"),
        ("encoder of 64 places", {"input_ids": (1, 65)}, "can't run with input_ids of 1 x 65"),
        ("only a run tells", {"x": (1, 65, 8)}, "can't run with x of 1 x 65 x 8"),
        ("nchw all open", {"x": (1, 4, 8, 8)}, "can't run with x of 1 x 4 x 8 x 8"),
        ("deconvolution", {"x": (1, 4, 8, 8)}, "can't run with x of 1 x 4 x 8 x 8"),
        ("features open", {"x": (9, 1, 7)}, "can't run with x of 9 x 1 x 7"),
        (
            "encoder",
            {"input_ids": (1, 8), "attention_mask": (1, 9)},
            "The size of 'sequence' can't be 8 and 9 at once",
        ),
        (
            "decoder, one by one",
            {"past_key_values.0.key": (1, 4, 6, 4), "attention_mask": (1, 8)},
            f"takes {PAST} + 1 with {PAST} = 6, which can't be 8",
        ),
    ],
)
def test_a_wrong_size_is_refused(
    family: str, sizes: dict[str, tuple[int, ...]], sentence: str
) -> None:
    data = FAMILIES[family][0]()
    with pytest.raises(ModelError) as refusal:
        explorer.load(data, "net", input_sizes=sizes)
    assert sentence in str(refusal.value)
    assert is_listed(str(refusal.value))


def test_no_negative_size_is_counted() -> None:
    """A kernel larger than the image of fixed size: the runtime refuses it as well."""
    net = Net()
    x = net.do("Conv", net.input("x", 1, 3, 4, 4), net.w(4, 3, 9, 9))
    model = explorer.load(net.bytes(net.do("Conv", x, net.w(4, 4, 1, 1))))
    profile = explorer.profile(model)
    assert (profile.macs, profile.uncounted_ops) == (0, ("Conv (unknown shape)",))
    assert profile.peak_activation_bytes > 0
    with pytest.raises(MeasurementError):
        explorer.measure_latency(model)


@pytest.mark.parametrize("size", [-1, 0])
def test_a_dimension_of_zero_or_less_is_open(size: int) -> None:
    data = nchw(size, 3, 8, 8)
    model = explorer.load(data)
    images = {"x": np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)}
    assert explorer.profile(model).macs == 64 * 256
    assert explorer.evaluate(model, images, model).samples == 4
    calibration = explorer.calibrate(model, images)
    small = explorer.apply(model, explorer.plan(model, RECIPE, calibration), calibration)
    assert explorer.measure_latency(small, model, clock=Recorder()).runs
    assert run_onnx(small.data, images)[0].shape == (4, 5, 8, 8)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("2*n", "n"), (256, 128)),
        (("n", "n//2"), (128, 64)),
        (("p + q", "p", "q"), (256, 128, 128)),
        (("((s77 + 1)//2)", "s77"), (64, 128)),
        (("floor(h/16)", "h"), (14, 224)),
        (("ceiling(h/3)", "h"), (75, 224)),
        (("Max(4, t - 1)", "t"), (127, 128)),
        (("seq-len", "seq"), (128, 128)),  # a name with a hyphen is no difference
        (("n/a", "q/r"), (128, 128)),
        (("__import__('os')", "n.real"), (128, 128)),
        (("(" * 150, "9**99"), (128, 128)),
        (("10**10*n", "n - n"), (128, 128)),
    ],
)
def test_names_are_formulas_of_each_other(names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    net = Net()
    rows = [net.input(f"x{at}", 1, 1, name, 2) for at, name in enumerate(names)]
    model = explorer.load(net.bytes(*[net.do("Relu", row) for row in rows]))
    assert tuple(shape[2] for shape in input_sizes(model).values()) == sizes


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("nhwc", (111, 224, 224, 3)),  # 2**24 numbers
        ("decoder, sum", (256, 128)),
        ("encoder", (256, 128)),
        ("time first", None),  # samples don't come first
        ("hwc", None),
    ],
)
def test_samples_are_made_up_of_these_sizes(name: str, first: tuple[int, ...] | None) -> None:
    model = explorer.load(FAMILIES[name][0]())
    if first is None:
        with pytest.raises(MeasurementError, match="no batch of samples"):
            make_examples(model)
    else:
        assert next(iter(make_examples(model).inputs.values())).shape == first


def test_masks_that_are_made_up_leave_nothing_out() -> None:
    model = explorer.load(FAMILIES["encoder"][0]())
    assert (example_inputs(model)["attention_mask"] == 1).all()
