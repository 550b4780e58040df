"""Zips of images: known pixels come out as known values, and bad ones are named."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from conftest import zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from explorer.errors import DataError
from explorer.formats import images
from explorer.formats.archive import Archive
from explorer.formats.images import Images, read_images
from explorer.formats.preprocessing import GREY, Preprocessing
from explorer.network import TensorSpec

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURED = TensorSpec("x", "float32", ("n", 3, 2, 2))
ONE = TensorSpec("x", "float32", ("n", 1, 2, 2))
ANY = TensorSpec("x", "float32", ("n", 3, "h", "w"))
CORNERS = np.array([[RED, GREEN], [BLUE, (1, 2, 3)]], np.uint8)


def encoded(
    pixels: Image.Image | np.ndarray, form: str = "PNG", mode: str | None = None, **options: Any
) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(stream, form, **options)
    return stream.getvalue()


def plain(colour: tuple[int, ...], size: tuple[int, int] = (2, 2)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def read(
    members: dict[str, bytes], spec: TensorSpec = COLOURED, how: Preprocessing | None = None
) -> Images:
    how = how or Preprocessing(colours=GREY if spec.shape[1] == 1 else "RGB")
    return read_images(Archive(zipped(members), "The zip", DataError), how, spec)


def refusal(
    members: dict[str, bytes], spec: TensorSpec = COLOURED, how: Preprocessing | None = None
) -> str:
    with pytest.raises(DataError) as caught:
        read(members, spec, how)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_pixels_come_out_as_they_went_in() -> None:
    found = read({"b.png": encoded(CORNERS), "a.png": encoded(CORNERS[::-1])})
    np.testing.assert_array_equal(found.pixels, [CORNERS, CORNERS[::-1]])
    assert found.labels is None
    assert found.numbering is None
    assert "no labels" in found.notes[-1]


@pytest.mark.parametrize("top", ["", "everything/"])
def test_folders_are_classes(top: str) -> None:
    members = {"dog/1.png": RED, "cat/1.png": GREEN, "dog/2.png": BLUE}
    found = read({top + name: encoded(plain(colour)) for name, colour in members.items()})
    assert found.numbering is not None and found.labels is not None
    assert found.numbering.classes == ("cat", "dog")
    assert found.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found.pixels[:, 0, 0], [RED, GREEN, BLUE])
    assert "0 = 'cat', 1 = 'dog'" in found.numbering.note


def test_numbers_are_sorted_by_value() -> None:
    names = ["10", "9", "b", "a", "2"]
    found = read({f"{name}/1.png": encoded(CORNERS) for name in names})
    assert found.numbering is not None and found.labels is not None
    assert found.numbering.classes == ("2", "9", "10", "a", "b")
    assert found.labels.tolist() == [2, 1, 4, 3, 0]


@pytest.mark.parametrize(
    ("folders", "labels", "classes"),
    [
        (["7", "0", "12"], [7, 0, 12], None),
        (["0", "1"], [0, 1], None),
        (["1", "2", "3"], [0, 1, 2], ("1", "2", "3")),
        (["2", "1", "x"], [1, 0, 2], ("1", "2", "x")),
        (["1", "99999"], [0, 1], ("1", "99999")),
    ],
    ids=["some are missing", "from 0", "from 1", "with a name", "too large"],
)
def test_numbered_folders(folders: list[str], labels: list[int], classes: object) -> None:
    found = read({f"{name}/1.png": encoded(CORNERS) for name in folders})
    assert found.numbering is not None and found.labels is not None
    assert found.labels.tolist() == labels
    assert found.numbering.classes == classes


def test_one_folder_around_loose_images_is_no_class() -> None:
    assert read({f"all/{name}.png": encoded(CORNERS) for name in "ab"}).numbering is None


def test_backslashes_are_folders_too() -> None:
    found = read({"a\\1.png": encoded(CORNERS), "b\\1.png": encoded(CORNERS)})
    assert found.numbering is not None
    assert found.numbering.classes == ("a", "b")


def test_content_decides_what_is_an_image() -> None:
    found = read({"a/1": encoded(CORNERS), "b/1.txt": encoded(CORNERS), "read me.md": b"text"})
    assert found.numbering is not None
    assert found.numbering.classes == ("a", "b")
    assert "Skipped, because they aren't images: 'read me.md'." in found.notes


def test_jpeg_is_read() -> None:
    found = read({"a.jpg": encoded(plain((200, 100, 50)), "JPEG", quality=95)})
    np.testing.assert_allclose(found.pixels[0], plain((200, 100, 50)), atol=3)


@pytest.mark.parametrize("mode", ["L", "1", "RGBA", "LA", "P", "RGB", "I;16"])
def test_every_mode_becomes_grey_and_coloured(mode: str) -> None:
    white = np.full((2, 2, 3), 255, np.uint8)
    if mode == "I;16":
        data = encoded(np.full((2, 2), 65535, np.uint16))
    else:
        data = encoded(white, mode=mode)
    np.testing.assert_array_equal(read({"a.png": data}).pixels, [white])
    np.testing.assert_array_equal(read({"a.png": data}, ONE).pixels, [white[..., :1]])


def test_sixteen_bits_keep_the_upper_eight() -> None:
    values = np.array([[0x1234, 0xFF00], [0x00FF, 0x8000]], np.uint16)
    found = read({"a.png": encoded(values)}, ONE)
    np.testing.assert_array_equal(found.pixels[0, ..., 0], [[0x12, 0xFF], [0, 0x80]])


def test_transparency_is_dropped_or_kept() -> None:
    clear = np.dstack([CORNERS, np.full((2, 2), 7, np.uint8)])
    np.testing.assert_array_equal(read({"a.png": encoded(clear)}).pixels[0], CORNERS)
    four = TensorSpec("x", "float32", ("n", 4, 2, 2))
    np.testing.assert_array_equal(read({"a.png": encoded(clear)}, four).pixels[0], clear)


def test_palettes_with_transparency_keep_their_colours() -> None:
    palette = Image.fromarray(CORNERS).convert("P", palette=Image.Palette.ADAPTIVE)
    data = encoded(palette, transparency=bytes([0, 255, 128]))
    np.testing.assert_array_equal(read({"a.png": data}).pixels[0], CORNERS)


def test_orientation_is_respected() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    data = encoded(np.array([[RED, GREEN]], np.uint8), exif=exif)
    turned = TensorSpec("x", "float32", ("n", 3, 2, 1))
    np.testing.assert_array_equal(read({"a.png": data}, turned).pixels[0, :, 0], [RED, GREEN])


def test_stretching_and_cropping() -> None:
    wide = np.zeros((2, 6, 3), np.uint8)
    wide[:, 2:4] = CORNERS
    cropped = read({"a.png": encoded(wide)}, how=Preprocessing(resize="crop"))
    np.testing.assert_array_equal(cropped.pixels[0], CORNERS)
    assert "cropped to their middle" in cropped.notes[0]
    stretched = read({"a.png": encoded(np.repeat(plain(RED), 3, axis=1))})
    np.testing.assert_array_equal(stretched.pixels[0], plain(RED))
    assert stretched.notes[0] == (
        "The images are of 2 x 6 pixels; they were stretched to 2 x 2 (height x width)."
    )


def test_sizes_where_the_model_takes_any() -> None:
    small, large = encoded(plain(RED, (5, 7))), encoded(plain(RED, (100, 300)))
    assert read({"a.png": small, "b.png": large}, ANY).pixels.shape == (2, 5, 7, 3)
    assert read({"a.png": large, "b.png": small}, ANY).pixels.shape == (2, 224, 224, 3)
    asked = Preprocessing(size=(3, 4))
    assert read({"a.png": large}, ANY, asked).pixels.shape == (1, 3, 4, 3)


def png_of(width: int, height: int) -> bytes:
    """A tiny file that claims to be large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"a.txt": b"hello"}, "holds no PNG or JPEG images"),
        ({"a/b.gif": encoded(CORNERS, "GIF")}, "'b.gif', which isn't a PNG or JPEG image"),
        ({"a.png": b"text"}, "'a.png', which isn't a PNG or JPEG image"),
        ({"a.png": encoded(CORNERS)[:50]}, "'a.png', which is a damaged image"),
        ({"x/\u202ea.jpg": b"\xff\xd8\xff rest"}, "'a.jpg', which is a damaged image"),
        ({"a.png": png_of(5000, 5000)}, "'a.png', which has more than 16 million pixels"),
        ({"a.png": png_of(50000, 50000)}, "more than 16 million pixels"),
        ({"a.png": png_of(100, 100)}, "cut short"),
        ({"a/b/1.png": encoded(CORNERS), "c/d/1.png": encoded(CORNERS)}, "folders inside 'a'"),
        ({"t/a/b/1.png": encoded(CORNERS), "t/c/1.png": encoded(CORNERS)}, "folders inside 'a'"),
        ({"a/1.png": encoded(CORNERS), "2.png": encoded(CORNERS)}, "beside them, such as '2.png'"),
        ({"2.png": encoded(CORNERS), "a/1.png": encoded(CORNERS)}, "beside them, such as '2.png'"),
    ],
)
def test_what_is_wrong_and_where(members: dict[str, bytes], expected: str) -> None:
    assert expected in refusal(members)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{index}.png": encoded(CORNERS) for index in range(3)}
    monkeypatch.setattr(images, "MOST_VALUES", 24)
    assert "3 images, more than fit in memory at 2 x 2 pixels; the most is 2" in refusal(members)
    monkeypatch.setattr(images, "MOST_IMAGES", 2)
    assert "holds 3 images; the most is 2" in refusal(members)


def test_inputs_that_take_none() -> None:
    spec = TensorSpec("ids", "int64", ("n", 64))
    assert "'ids' takes int64 values" in refusal({"a.png": encoded(CORNERS)}, spec)


NOISE = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
VALID = {"a/1.png": encoded(NOISE), "b/2.jpg": encoded(NOISE, "JPEG"), "b/3.png": encoded(NOISE)}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(VALID)), st.data())
def test_damaged_images_are_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        assert read({**VALID, name: bytes(content)}).pixels.shape[1:] == (2, 2, 3)
    except DataError as error:
        assert "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_zips_are_refused(data: st.DataObject) -> None:
    content = bytearray(zipped(VALID))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        read_images(Archive(bytes(content), "The zip", DataError), Preprocessing(), COLOURED)
    except DataError as error:
        assert "\n" not in str(error)
