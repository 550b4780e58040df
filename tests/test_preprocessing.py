"""How samples are prepared: known pixels come out as known values, and guesses are plausible."""

import json
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from explorer.errors import DataError
from explorer.formats.frames import FIRST, LAST, frame_of, is_image
from explorer.formats.preprocessing import (
    BGR,
    CAFFE_MEAN,
    GREY,
    IMAGENET_MEAN,
    IMAGENET_STD,
    RGB,
    UNIT,
    Preprocessing,
    candidates,
    check_fits,
    choose,
    guess,
    prepare_pixels,
    prepare_values,
)
from explorer.network import TensorSpec

PIXELS = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3) * 7  # two of 2 x 3, RGB


def spec(*shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("x", dtype, ("n", *shape))


@pytest.mark.parametrize(
    ("shape", "layout", "channels", "size"),
    [
        ((3, 32, 40), FIRST, 3, (32, 40)),
        ((32, 40, 3), LAST, 3, (32, 40)),
        ((1, 28, 28), FIRST, 1, (28, 28)),
        ((28, 28, 1), LAST, 1, (28, 28)),
        ((4, 28, 28), FIRST, 4, (28, 28)),
        ((4, 64, 3), LAST, 3, (4, 64)),
        ((3, 64, 3), FIRST, 3, (64, 3)),
        ((3, "h", "w"), FIRST, 3, (None, None)),
        (("h", "w", 3), LAST, 3, (None, None)),
        (("c", "h", "w"), FIRST, None, (None, None)),
        ((28, 30), FIRST, 1, (28, 30)),
        ((784,), FIRST, 1, (28, 28)),
        ((3072,), FIRST, 3, (32, 32)),
    ],
)
def test_where_an_image_lies_in_an_input(
    shape: tuple[int | str, ...],
    layout: str,
    channels: int | None,
    size: tuple[int | None, int | None],
) -> None:
    frame = frame_of(spec(*shape))
    assert (frame.layout, frame.channels, (frame.height, frame.width)) == (layout, channels, size)


@pytest.mark.parametrize("shape", [(), (12, 28, 28), (10,), ("t",), (1, 2, 3, 4)])
def test_inputs_that_take_no_images(shape: tuple[int | str, ...]) -> None:
    assert not is_image(spec(*shape))
    with pytest.raises(
        DataError, match=r"which isn't an image shape; give the samples as an \.npz"
    ):
        frame_of(spec(*shape))


@pytest.mark.parametrize("dtype", ["int64", "bool", "string", "int8"])
def test_types_that_take_no_images(dtype: str) -> None:
    with pytest.raises(DataError, match=f"takes {dtype} values"):
        frame_of(spec(3, 8, 8, dtype=dtype))


def test_values_by_hand_in_both_layouts() -> None:
    raw = Preprocessing()
    first = prepare_pixels(PIXELS, raw, spec(3, 2, 3))
    last = prepare_pixels(PIXELS, replace(raw, layout=LAST), spec(2, 3, 3))
    assert first[1, 2, 0, 1] == last[1, 0, 1, 2] == PIXELS[1, 0, 1, 2] == 161
    np.testing.assert_array_equal(first, PIXELS.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(last, PIXELS)
    assert first.dtype == last.dtype == np.float32


def test_mean_and_deviation_are_per_channel_after_scaling() -> None:
    how = Preprocessing(scale=UNIT, mean=(0.0, 0.5, 1.0), std=(1.0, 2.0, 4.0))
    found = prepare_pixels(PIXELS, how, spec(3, 2, 3))
    expected = (PIXELS / 255 - [0, 0.5, 1]) / [1, 2, 4]
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), atol=1e-6)
    last = prepare_pixels(PIXELS, replace(how, layout=LAST), spec(2, 3, 3))
    np.testing.assert_allclose(last, expected, atol=1e-6)


def test_the_mean_is_in_the_order_of_the_colours() -> None:
    how = Preprocessing(colours=BGR, mean=(100.0, 0.0, 0.0))
    found = prepare_pixels(PIXELS, how, spec(3, 2, 3))
    np.testing.assert_array_equal(found[:, 0], PIXELS[..., 2] - 100.0)  # blue
    np.testing.assert_array_equal(found[:, 2], PIXELS[..., 0])
    alpha = np.concatenate([PIXELS, PIXELS[..., :1]], axis=-1)
    four = prepare_pixels(alpha, Preprocessing(colours=BGR), spec(4, 2, 3))
    np.testing.assert_array_equal(four[0, :, 0, 0], alpha[0, 0, 0, [2, 1, 0, 3]])


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    how = Preprocessing(scale=UNIT, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    whole = prepare_pixels(PIXELS, how, spec(3, 2, 3))
    monkeypatch.setattr("explorer.formats.preprocessing.CHUNK_VALUES", 1)
    np.testing.assert_array_equal(prepare_pixels(PIXELS, how, spec(3, 2, 3)), whole)


def test_flat_and_grey_inputs() -> None:
    grey = PIXELS[..., :1]
    how = Preprocessing(colours=GREY)
    np.testing.assert_array_equal(prepare_pixels(grey, how, spec(2, 3)), grey[..., 0])
    square = grey[:, :, :2]
    np.testing.assert_array_equal(prepare_pixels(square, how, spec(4)), square.reshape(2, 4))


def test_bytes_stay_bytes() -> None:
    found = prepare_pixels(PIXELS, Preprocessing(layout=LAST), spec(2, 3, 3, dtype="uint8"))
    assert found.dtype == np.uint8
    with pytest.raises(DataError, match="takes bytes"):
        check_fits(Preprocessing(scale=UNIT), spec(3, 2, 3, dtype="uint8"))


def test_tables_are_scaled_too() -> None:
    values = np.array([[[[0.0, 255.0]], [[51.0, 0.0]], [[0.0, 0.0]]]], np.float32)
    assert prepare_values(values, Preprocessing(), spec(3, 1, 2)) is values
    unit = prepare_values(values, Preprocessing(scale=UNIT), spec(3, 1, 2))
    np.testing.assert_allclose(unit, values / 255, rtol=1e-6)
    colours = Preprocessing(mean=(1.0, 2.0, 3.0))
    found = prepare_values(values, colours, spec(3, 1, 2))
    np.testing.assert_array_equal(found[0, :, 0, 0], [-1, 49, -3])
    with pytest.raises(DataError, match="has no axis of channels"):
        prepare_values(np.zeros((1, 12), np.float32), colours, spec(12))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Preprocessing(colours=GREY), "has 3 channels; take RGB or BGR"),
        (Preprocessing(layout=LAST), "input 'x' has channels first"),
        (Preprocessing(size=(5, 5)), "The size is 5 x 5, but input 'x' takes 8 x 9"),
        (Preprocessing(mean=(1.0, 2.0)), "The mean has 2 numbers; give 1, or 3"),
        (Preprocessing(std=(1.0, 2.0)), "The standard deviation has 2 numbers"),
    ],
)
def test_preparations_that_do_not_fit(how: Preprocessing, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        check_fits(how, spec(3, 8, 9))
    assert expected in str(caught.value)


def test_colours_for_one_channel() -> None:
    with pytest.raises(DataError, match="has 1 channel; take grey"):
        check_fits(Preprocessing(), spec(1, 8, 8))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"layout": "sideways"}, "The layout is 'sideways'; it must be one of channels first"),
        ({"colours": ["RGB"]}, "The order of colours"),
        ({"scale": "0..2"}, "The scale is '0..2'"),
        ({"resize": "melt\n"}, "The way to resize is 'melt'"),
        ({"mean": ()}, "The mean must be one number"),
        ({"mean": 0.5}, "The mean must be one number"),
        ({"std": (float("nan"),)}, "The standard deviation must be one number"),
        ({"std": (1.0, 0.0, 1.0)}, "The standard deviation is 0.0; it must be above 0"),
        ({"size": (0, 5)}, "The size must be a height and a width"),
        ({"size": (5000, 5)}, "from 1 to 4096"),
        ({"label_column": 3}, "must be the name of a column"),
        ({"colors": "RGB"}, "has no 'colors'; it can have size, layout"),
    ],
)
def test_preparations_that_there_are_not(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing.from_dict(values)
    assert expected in str(caught.value)


def test_json_round_trip() -> None:
    for how in (Preprocessing(), *candidates(spec(3, 224, 224)), Preprocessing(size=(3, 4))):
        assert Preprocessing.from_dict(json.loads(json.dumps(asdict(how)))) == how


def test_guesses() -> None:
    photo = guess(spec(3, 224, 224))
    assert (photo.scale, photo.mean, photo.std, photo.resize) == (
        UNIT,
        IMAGENET_MEAN,
        IMAGENET_STD,
        "crop",
    )
    assert guess(spec(3, "h", "w")) == photo
    assert guess(spec(224, 224, 3)) == replace(photo, layout=LAST)
    assert guess(spec(1, 28, 28)) == Preprocessing(colours=GREY, scale=UNIT)
    assert guess(spec(3, 32, 32)) == Preprocessing(colours=RGB, scale=UNIT)
    assert guess(spec(224, 224, 3, dtype="uint8")) == Preprocessing(layout=LAST)
    assert guess(spec(13)) == guess(spec(64, dtype="int64")) == Preprocessing()


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [
        ((3, 224, 224), "float32", 7),
        ((3, 32, 32), "float32", 7),
        ((4, 32, 32), "float32", 3),
        ((1, 28, 28), "float32", 4),
        ((32, 32, 3), "uint8", 2),
        ((28, 28, 1), "uint8", 1),
        ((13,), "float32", 1),
    ],
)
def test_candidates_fit_and_differ(shape: tuple[int, ...], dtype: str, count: int) -> None:
    ways = candidates(spec(*shape, dtype=dtype))
    assert ways[0] == guess(spec(*shape, dtype=dtype))
    assert len(ways) == len(set(ways)) == count
    for way in ways if len(shape) == 3 else ():
        check_fits(way, spec(*shape, dtype=dtype))
        assert (way.layout, way.resize) == (ways[0].layout, ways[0].resize)


def test_candidates_of_photos() -> None:
    ways = candidates(spec(3, 224, 224))
    assert Preprocessing(colours=BGR, mean=CAFFE_MEAN, resize="crop") in ways
    assert Preprocessing(scale=UNIT, mean=(0.5,), std=(0.5,), resize="crop") in ways


WAYS = tuple(Preprocessing(mean=(float(number),)) for number in range(3))


@pytest.mark.parametrize(
    ("shares", "samples", "expected"),
    [
        ((0.5, 0.5, 0.5), 1000, 0),
        ((0.5, 0.52, 0.51), 1000, 0),  # 2 errors of the difference are 0.045
        ((0.5, 0.54, 0.55), 1000, 2),
        ((0.5, 0.55, 0.54), 1000, 1),
        ((0.1, 0.9, 0.9), 1000, 1),
        ((0.0, 1.0, 0.0), 1, 0),
        ((0.0, 1.0, 0.0), 5, 1),
        ((0.9, 0.1, 0.1), 1000, 0),
    ],
)
def test_the_first_stays_unless_another_is_clearly_better(
    shares: tuple[float, ...], samples: int, expected: int
) -> None:
    found = choose(WAYS, dict(zip(WAYS, shares, strict=True)).__getitem__, samples)
    assert found == WAYS[expected]


def test_one_way_is_not_tried() -> None:
    def never(_: Preprocessing) -> float:
        raise AssertionError

    assert choose(WAYS[:1], never, 100) == WAYS[0]


def test_what_is_done_in_words() -> None:
    assert Preprocessing().describe() == "values as they are"
    how = Preprocessing(colours=BGR, scale=UNIT, mean=(0.5,), std=(0.25, 0.5, 1.0))
    assert how.describe() == "values in BGR order divided by 255, less 0.5, over 0.25, 0.5, 1"


@pytest.mark.parametrize(
    ("mean", "std"), [(1e30, 1e-30), (1e39, 1.0), (0.0, 1e-50)], ids=["both", "mean", "deviation"]
)
def test_values_that_grow_too_large_are_put_down_to_the_preparation(
    mean: float, std: float
) -> None:
    how = Preprocessing(mean=(mean,), std=(std,))
    said = re.escape(f"With mean {mean:g} and standard deviation {std:g}, the values")
    with pytest.raises(DataError, match=said):
        prepare_pixels(PIXELS, how, spec(3, 2, 3))
    with pytest.raises(DataError, match="too large to compute with; choose others"):
        prepare_values(np.ones((2, 4), np.float32), how, spec(4))
    samples = np.array([[np.nan, 1.0]], np.float32)
    assert np.isnan(prepare_values(samples, Preprocessing(mean=(1.0,)), spec(2))[0, 0])
