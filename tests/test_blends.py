"""Blends of samples: between two of them, in the model's own types, and only where that exists."""

import numpy as np
import pytest
from conftest import with_weights

import explorer
from explorer.compress.blends import blend
from explorer.formats.data import load_data

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g ({kind}[n,6] x) => (float[n,4] y) {{ f = Cast <to = 1> (x) y = MatMul (f, w) }}"""
IDS = """<ir_version: 8, opset_import: ["" : 17]>
g (int64[n,6] x) => (float[n,6,4] y) { y = Gather (w, x) }"""


def model_of(kind: str = "float") -> explorer.Model:
    return with_weights(TEXT.format(kind=kind), w=(6, 4))


def test_each_blend_lies_nearer_to_its_own_sample() -> None:
    x = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
    model = model_of()
    found = blend(model, load_data({"x": x}, model), 40)
    assert found is not None and found.labels is None
    blends = found.inputs["x"]
    assert blends.shape == (40, 6)
    for own, mixed in zip(x, blends, strict=True):
        along = x - own  # to each other sample
        moved = mixed - own
        power = np.maximum((along**2).sum(axis=1), 1e-12)
        share = along @ moved / power
        left = ((moved - share[:, None] * along) ** 2).sum(axis=1)
        assert left.min() < 1e-9
        assert -1e-6 <= share[np.argmin(left)] <= 0.5 + 1e-6


@pytest.mark.parametrize(("count", "expected"), [(1000, 40), (7, 7)])
def test_there_are_at_most_as_many_as_asked_for_and_as_samples(count: int, expected: int) -> None:
    x = np.ones((40, 6), dtype=np.float32)
    model = model_of()
    found = blend(model, load_data({"x": x}, model), count)
    assert found is not None and len(found) == expected
    np.testing.assert_array_equal(found.inputs["x"], x[:expected])


def test_the_same_samples_give_the_same_blends() -> None:
    x = np.random.default_rng(1).standard_normal((9, 6)).astype(np.float32)
    model = model_of()
    first, second = (blend(model, load_data({"x": x}, model), 9) for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.inputs["x"], second.inputs["x"])
    assert first.id == second.id


def test_blends_have_the_type_of_the_model() -> None:
    model = model_of("float16")
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6)
    found = blend(model, load_data({"x": pixels}, model), 2)
    assert found is not None and found.inputs["x"].dtype == np.float16


def test_ids_are_never_blended() -> None:
    model = with_weights(IDS, w=(9, 4))
    samples = load_data({"x": np.arange(12).reshape(2, 6) % 9}, model)
    assert blend(model, samples, 2) is None
    assert explorer.calibrate(model, samples).fitted == (samples,)


def test_ranges_are_those_of_the_samples_alone() -> None:
    """The blends of -1 and 1 are smaller than both."""
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,6] x) => (float[n,4] y) { h = Abs (x) y = MatMul (h, w) }""",
        w=(6, 4),
    )
    signs = np.random.default_rng(1).choice([-1, 1], (30, 6)).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": signs})
    assert [len(part) for part in calibration.fitted] == [30, 30]
    assert np.abs(calibration.fitted[1].inputs["x"]).min() < 0.9
    assert calibration.ranges["h"] == (1, 1)
