"""Samples from any file: the right kind is found, the parts are fair, and others are refused."""

import bz2
import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLES, npz_bytes, with_weights, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import explorer
from explorer.errors import DataError, OutputError
from explorer.formats import samples
from explorer.formats.archive import Archive
from explorer.formats.data import Dataset, fitted, load_data
from explorer.formats.npz import arrays_in
from explorer.formats.preprocessing import Preprocessing, candidates
from explorer.formats.samples import Samples, import_samples, save_npz, split
from explorer.network import TensorSpec

Inputs = tuple[TensorSpec, ...]
THREE = (TensorSpec("x", "float32", ("n", 3)),)
IMAGE = (TensorSpec("x", "float32", ("n", 3, 2, 2)),)


def stored(folder: Path, content: bytes | str) -> Path:
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def png(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(stream, "PNG")
    return stream.getvalue()


def colours(count: int) -> dict[str, bytes]:
    """Images of two classes by their brightness."""
    return {
        f"{'dark' if i % 2 else 'light'}/{i}.png": png((200 - 150 * (i % 2), i % 256, 9))
        for i in range(count)
    }


def taken(
    folder: Path,
    content: bytes | str,
    inputs: Inputs = THREE,
    asked: Preprocessing | None = None,
    score: Callable[[Dataset], float] | None = None,
) -> Samples:
    return import_samples(stored(folder, content), "The file", inputs, asked, score)


def refusal(
    folder: Path, content: bytes | str, inputs: Inputs = THREE, title: str = "The file"
) -> str:
    with pytest.raises(DataError) as caught:
        import_samples(stored(folder, content), title, inputs, None, None)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(folder) not in message
    return message


X = np.arange(90, dtype=np.float32).reshape(30, 3)
Y = np.arange(30) % 2


def test_one_set_in_three_kinds_of_file(tmp_path: Path) -> None:
    values = "".join(f"{a},{b},{c},{y}\n" for (a, b, c), y in zip(X, Y, strict=True))
    found = [
        taken(tmp_path, content) for content in (npz_bytes(x=X, y=Y), values, "a,b,c,y\n" + values)
    ]
    for each in found:
        np.testing.assert_array_equal(each.test.inputs["x"], found[0].test.inputs["x"])
        np.testing.assert_array_equal(each.test.labels, found[0].test.labels)
        np.testing.assert_array_equal(
            each.calibration.inputs["x"], found[0].calibration.inputs["x"]
        )
        assert each.calibration.labels is None
        assert (len(each.test), len(each.calibration)) == (24, 6)
    assert found[0].preprocessing is None
    assert found[1].preprocessing == Preprocessing(label_column="4")
    assert "6 samples are set aside for calibration and 24 for the test" in found[0].notes[-1]


def test_real_labels_are_spread_and_said_to_be(tmp_path: Path) -> None:
    found = taken(tmp_path, npz_bytes(x=X, y=np.linspace(0.5, 2, len(X))))
    assert "spread evenly over the labels" in found.notes[-1]
    assert "the same share of each label" in taken(tmp_path, npz_bytes(x=X, y=Y)).notes[-1]


def test_images(tmp_path: Path) -> None:
    found = taken(tmp_path, zipped(colours(20)), IMAGE)
    assert found.classes == ("dark", "light")
    for index in range(16):
        assert found.test.labels is not None
        pixels, label = found.test.inputs["x"][index], found.test.labels[index]
        assert pixels[0, 0, 0] == np.float32(200 if label else 50) / np.float32(255)
    assert found.preprocessing == Preprocessing(size=(2, 2), scale="0..1")
    assert "Preparation: values divided by 255; this is a guess." in found.notes
    raw = taken(tmp_path, zipped(colours(20)), IMAGE, asked=Preprocessing())
    assert set(raw.test.inputs["x"][:, 0, 0, 0]) == {50, 200}
    assert "Preparation: values as they are." in raw.notes


def test_the_preparation_is_chosen_by_trying(tmp_path: Path) -> None:
    def score(data: Dataset) -> float:
        """A model trained on BGR of 0..255: right where blue, which is 9, comes first."""
        assert data.labels is not None
        assert len(data) == len(data.labels)
        return float((data.inputs["x"][:, 0] == 9).all())

    found = taken(tmp_path, zipped(colours(100)), IMAGE, score=score)
    assert found.preprocessing == Preprocessing(size=(2, 2), colours="BGR")
    assert "it is the best: 100 % are right, and 0 % as guessed" in " ".join(found.notes)
    same = taken(tmp_path, zipped(colours(100)), IMAGE, score=lambda _: 0.5)
    assert same.preprocessing is not None
    assert same.preprocessing.scale == "0..1"
    assert "none is clearly better, 50 % are right" in " ".join(same.notes)


class SlowModel:
    """Trained on BGR of 0..255, and right where green is below 128; its scoring moves the clock."""

    def __init__(self, sample_s: float) -> None:
        self.sample_s, self.now_s = sample_s, 0.0
        self.ids: list[str] = []
        self.hits = self.scored = 0

    def score(self, data: Dataset) -> float:
        self.now_s += self.sample_s * len(data)
        self.ids.append(data.id)
        pixels: np.ndarray = data.inputs["x"][:, :, 0, 0]  # (samples, channels)
        right = (pixels[:, 0] == 9) & (pixels[:, 1] < 128)
        self.scored += len(data)
        self.hits += right.sum()
        return float(right.mean())

    def clock(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("sample_s", "tried", "longest_s"),
    [(0.0, 128, 0.0), (0.01, 64, samples.TRIAL_S), (0.05, 32, samples.LONGEST_TRIAL_S)],
    ids=["all", "as many as fit", "the fewest"],
)
def test_the_preparation_is_tried_on_as_many_samples_as_fit(
    tmp_path: Path, sample_s: float, tried: int, longest_s: float
) -> None:
    path, model = stored(tmp_path, zipped(colours(640))), SlowModel(sample_s)
    found = import_samples(path, "The file", IMAGE, score=model.score, clock=model.clock)
    ways = len(candidates(IMAGE[0]))
    assert (len(found.calibration), model.scored) == (128, ways * tried)
    assert model.now_s <= longest_s
    assert len(set(model.ids)) == len(model.ids)  # by which outputs are kept
    assert found.preprocessing is not None
    assert found.preprocessing.colours == "BGR"
    told = f"of {ways} ways tried on {tried} labelled samples it is the best: "
    assert f"{told}{100 * model.hits / tried:.0f} % are right, and 0 %" in " ".join(found.notes)


def test_a_model_too_slow_for_trying_leaves_the_guess(tmp_path: Path) -> None:
    path, model = stored(tmp_path, zipped(colours(640))), SlowModel(sample_s=1.0)
    found = import_samples(path, "The file", IMAGE, score=model.score, clock=model.clock)
    assert model.now_s < samples.LONGEST_TRIAL_S + samples.FEWEST_TRIED / 2
    assert found.preprocessing == Preprocessing(size=(2, 2), scale="0..1")
    assert "a guess, as the model is too slow to try other ways." in " ".join(found.notes)


def test_unlabelled_images_are_not_tried(tmp_path: Path) -> None:
    def never(_: Dataset) -> float:
        raise AssertionError

    flat = {name.replace("/", "_"): content for name, content in colours(20).items()}
    assert taken(tmp_path, zipped(flat), IMAGE, score=never).test.labels is None


@pytest.mark.parametrize("shape", [(1, 8, 8), (64,), (8, 8), (192,), (3, 8, 8)])
def test_tables_of_pixels_are_tried_too(tmp_path: Path, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    pixels = np.random.default_rng(0).integers(0, 256, (100, count))
    lines = [",".join(map(str, [*row, index % 2])) for index, row in enumerate(pixels)]
    inputs = (TensorSpec("x", "float32", ("n", *shape)),)
    content = "\n".join([",".join([f"p{i}" for i in range(count)] + ["label"]), *lines])
    found = taken(
        tmp_path, content, inputs, score=lambda data: float(data.inputs["x"].min() < -0.9)
    )
    assert found.test.inputs["x"].min() < -0.9
    assert found.preprocessing is not None
    assert found.preprocessing.scale == "0..1"
    plain = taken(tmp_path, content, inputs)
    assert plain.test.inputs["x"].max() == 255
    assert "as of pixels" in " ".join(plain.notes)


def test_the_score_of_a_real_network(tmp_path: Path) -> None:
    """Fashion images as PNG files: the network that was trained on them tells how to scale them."""
    model = explorer.load(SAMPLES / "fashion_resnet.onnx")
    data = load_data(SAMPLES / "fashion_test.npz", model).head(400)
    values = np.asarray(data.inputs["image"], np.float64)
    pixels = np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)
    members = {}
    assert data.labels is not None
    for index, (image, label) in enumerate(zip(pixels, data.labels, strict=True)):
        stream = io.BytesIO()
        Image.fromarray(image[0]).save(stream, "PNG")
        members[f"{label}/{index}.png"] = stream.getvalue()
    found = taken(
        tmp_path, zipped(members), model.inputs, score=lambda d: explorer.evaluate(model, d).value
    )
    expected = explorer.evaluate(model, data).value
    assert explorer.evaluate(model, found.test).value == pytest.approx(expected, abs=0.05)


def test_what_fits_no_preparation_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="take RGB or BGR"):
        taken(tmp_path, zipped(colours(20)), IMAGE, asked=Preprocessing(colours="grey"))


@pytest.mark.parametrize("count", [20, 21, 99, 2560, 4000])
@pytest.mark.parametrize("is_labelled", [True, False])
def test_split_is_disjoint_complete_and_repeatable(count: int, is_labelled: bool) -> None:
    labels = np.random.default_rng(1).integers(0, 5, count) if is_labelled else None
    test, calibration = split(labels, count)
    assert sorted([*test, *calibration]) == list(range(count))
    assert len(calibration) == min(512, count // 5)
    for one, other in zip((test, calibration), split(labels, count), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(test) != sorted(test)  # the first few are of all classes, whatever the order


def test_split_gives_each_label_its_share() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    _, calibration = split(labels, 1000)
    np.testing.assert_allclose(np.bincount(labels[calibration]), [100, 60, 40], atol=1)


def test_few_samples_are_in_both_parts(tmp_path: Path) -> None:
    found = taken(tmp_path, npz_bytes(x=X[:19], y=Y[:19]))
    np.testing.assert_array_equal(found.test.inputs["x"], X[:19])
    np.testing.assert_array_equal(found.calibration.inputs["x"], X[:19])
    assert found.notes == (
        "There are fewer than 20 samples, so test and calibration both use all of them.",
    )


def test_ids_tell_parts_and_preparations_apart(tmp_path: Path) -> None:
    content = zipped(colours(20))
    one, again = (taken(tmp_path, content, IMAGE) for _ in range(2))
    raw = taken(tmp_path, content, IMAGE, asked=Preprocessing())
    assert one.test.id == again.test.id
    assert len({one.test.id, one.calibration.id, raw.test.id, raw.calibration.id}) == 4


@pytest.mark.parametrize("name", ["x", "y", "file", "/in", "../in", "in:0", "C:/in"])
@pytest.mark.parametrize("labels", [None, Y])
def test_saved_samples_load_the_same(tmp_path: Path, name: str, labels: np.ndarray | None) -> None:
    spec = TensorSpec(name, "float32", ("n", 3))
    saved = Dataset({name: X}, labels, "id")
    save_npz(saved, tmp_path / "a.npz")
    found = fitted(arrays_in(Archive(tmp_path / "a.npz", "it", DataError)), "", [spec])
    np.testing.assert_array_equal(found.inputs[name], X)
    assert found.inputs[name].dtype == X.dtype
    assert (found.labels is None) == (labels is None)
    np.testing.assert_array_equal(found.labels, labels)


def test_several_inputs_are_saved_and_imported(tmp_path: Path) -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,3] a, int64[n,2] b) => (float[n,3] c) { d = Cast <to = 1> (b)
            e = MatMul (d, w)  c = Add (a, e) }""",
        w=(2, 3),
    )
    ids = np.arange(60).reshape(30, 2)
    found = taken(tmp_path, npz_bytes(a=X, b=ids, y=Y), model.inputs)
    np.testing.assert_array_equal(
        found.test.inputs["a"][:, 0] // 3, found.test.inputs["b"][:, 0] // 2
    )
    save_npz(found.test, tmp_path / "a.npz")
    again = load_data(tmp_path / "a.npz", model)
    for name in ("a", "b"):
        np.testing.assert_array_equal(again.inputs[name], found.test.inputs[name])
    np.testing.assert_array_equal(again.labels, found.test.labels)
    message = "the model has 2 inputs; give an .npz archive with an array for each"
    assert message in refusal(tmp_path, "1,2,3\n", model.inputs)
    assert message in refusal(tmp_path, zipped(colours(2)), model.inputs)


def test_saving_where_it_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        save_npz(Dataset({"x": X}, None, "id"), tmp_path)


def test_a_preparation_survives_json(tmp_path: Path) -> None:
    how = taken(tmp_path, zipped(colours(20)), IMAGE).preprocessing
    assert how is not None
    again = Preprocessing.from_dict(json.loads(json.dumps(asdict(how))))
    one, other = (taken(tmp_path, zipped(colours(20)), IMAGE, asked=way) for way in (how, again))
    np.testing.assert_array_equal(one.test.inputs["x"], other.test.inputs["x"])


NPY = io.BytesIO()
np.save(NPY, X)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (
            gzip.compress(b"1,2,3\n", mtime=0),
            "is a gzip archive; unpack it and give an .npz archive",
        ),
        (bz2.compress(b"1,2,3\n"), "a bzip2 archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"name".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and MATLAB write; save its arrays"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (NPY.getvalue(), "a single NumPy array (.npy); save its arrays with numpy.savez"),
        (b"PAR1\x15\x04", "a Parquet table; save it as CSV"),
        (b"ARROW1\0\0", "an Arrow table"),
        (b"FEA1\0\0", "a Feather table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"%PDF-1.7", "a PDF document; it holds no samples; give an .npz archive"),
        (b"{\\rtf1", "an RTF document"),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model; it holds no samples"),
        (b"GIF89a\x01\0", "an image (GIF); zip the images as PNG or JPEG"),
        (b"II*\0", "an image (TIFF)"),
        (b"MM\0*", "an image (TIFF)"),
        (b"RIFF\0\0\0\0WEBP", "an image (WebP) or a sound"),
        (b"\0\0\x08\x03\0\0", "the IDX format (as of MNIST)"),
        (png((1, 2, 3)), "an image (PNG); zip the images as PNG or JPEG, one folder a class"),
        (pickle.dumps([1, 2]), "a pickle, which could run any code and is never opened"),
        (b'\x10\0\0\0\0\0\0\0{"a": {}}', "a safetensors file"),
        (b"<!DOCTYPE html>", "a web page (HTML); save it as CSV"),
        (b'\xef\xbb\xbf [{"a": 1}]', "a JSON file; save it as CSV"),
        (b"\x08\x08\x12\x07pytorch", "is of an unknown kind; give an .npz archive, a .csv table"),
        ("a,b,c\n1,2,3\n".encode("utf-16"), "UTF-16"),
        (zipped({"[Content_Types].xml": b"", "xl/a.xml": b""}), "an Excel workbook"),
        (zipped({"config.json": b"", "model.weights.h5": b""}), "a Keras model"),
        (zipped({"net/saved_model.pb": b""}), "a TensorFlow SavedModel; it holds no samples"),
        (zipped({"m/data.pkl": b"", "m/data/0": b""}), "a PyTorch file with a pickle"),
        (zipped({"a.csv": b"1,2,3"}), "holds text files only; give the .csv table itself"),
        (zipped({"a.bin": b"1,2,3"}), "holds neither arrays nor PNG or JPEG images"),
        (zipped({}), "holds neither arrays"),
        (zipped({"x.npy": b"no array"}), "'x.npy', which is not an array"),
        (zipped({"a.gif": b"GIF89a"}), "'a.gif', which isn't a PNG or JPEG image"),
        (npz_bytes(x=X)[:60], "cut short"),
        (npz_bytes(z=X[:, :2]), "arrays named 'z', but the model's inputs are 'x'"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in refusal(tmp_path, content)


@pytest.mark.parametrize("name", ["PAR1", "FEA1", "MZ", "BM", "x^2", "BZh"])
def test_names_of_columns_are_no_signatures(tmp_path: Path, name: str) -> None:
    found = taken(tmp_path, f"{name},b,c,label\n" + "1,2,3,0\n4,5,6,1\n" * 10)
    assert found.test.inputs["x"].shape[1:] == (3,)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(npz_bytes(x=X))
    assert len(import_samples(path, "a.csv", THREE).test) == 24
    nameless = {name.removesuffix(".png"): content for name, content in colours(20).items()}
    assert taken(tmp_path, zipped(nameless), IMAGE).classes == ("dark", "light")
    stream = NPY.getvalue()
    assert len(taken(tmp_path, zipped({"x": stream})).test) == 24


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The file can't be read: no such file"):
        import_samples(tmp_path / "none", "The file", THREE)


def test_titles_are_cleaned(tmp_path: Path) -> None:
    message = refusal(tmp_path, b"", title="\u202e\n" + "w" * 99)
    assert message == f"{'w' * 47}… is empty."


def test_what_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(samples, "fitted", exhausted)
    assert "needs more memory than there is" in refusal(tmp_path, "1,2,3\n")


VALID = (
    (npz_bytes(x=X, y=Y), THREE),
    (("a,b,c,y\n" + "1,2.5,3,0\n" * 20).encode(), THREE),
    (zipped(colours(4)), IMAGE),
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(range(3)), st.data())
def test_damaged_files_are_refused(
    tmp_path_factory: pytest.TempPathFactory, which: int, data: st.DataObject
) -> None:
    valid, inputs = VALID[which]
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        taken(tmp_path_factory.getbasetemp(), bytes(content), inputs)
    except DataError as error:
        assert "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        taken(tmp_path_factory.getbasetemp(), content)
    except DataError as error:
        assert "\n" not in str(error)
