"""The models that a process has open: each file is read and checked once."""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from explorer.errors import FILES_GONE, JobError
from explorer.formats.data import load_data
from explorer.formats.onnx_file import OnnxFile, load
from explorer.model import Model
from explorer.opening import opened
from explorer.pipeline import Opened

MOST_OPEN = 4
DATA_TITLE = "The data file"

Source = dict[str, Any]
File = dict[str, Any]
Key = tuple[Any, ...]
Kept = TypeVar("Kept")


class OpenModels:
    """The few that were used last; `Source` and `File` are as in `tasks`."""

    def __init__(self) -> None:
        self._files: OrderedDict[Key, OnnxFile] = OrderedDict()
        self._models: OrderedDict[Key, Model] = OrderedDict()
        self._opened: OrderedDict[Key, Opened] = OrderedDict()

    def checked(self, file: File) -> Model:
        """A model whose graph was checked against its file, at the input sizes that were set.

        Raises:
            JobError: the file is gone.
            ModelError: as for `explorer.load`.
        """
        path, sizes = Path(file["path"]), file.get("input_sizes") or {}
        key = (*_key_of(path), file.get("name"), json.dumps(sizes, sort_keys=True))
        return _kept(self._models, key, lambda: opened(self._read(file), sizes))

    def compressed(self, file: File) -> Model:
        """A file that the explorer wrote, at the sizes that it is counted with.

        Raises:
            JobError: the file is gone.
        """
        path, sizes = Path(file["path"]), file.get("input_sizes") or {}
        shapes = {name: tuple(shape) for name, shape in sizes.items()}
        key = (*_key_of(path), file["name"], "as it is", json.dumps(sizes, sort_keys=True))

        def read() -> Model:
            return Model.of_file(self._read(file)).with_changes(input_sizes=shapes)

        return _kept(self._models, key, read)

    def remember(self, path: str, file: OnnxFile) -> None:
        """A file was just written to a path; it needn't be read again."""
        _kept(self._files, (*_key_of(Path(path)), file.name), lambda: file)

    def source(self, source: Source) -> Opened:
        """A model with its samples.

        Raises:
            JobError: a file is gone.
            DataError: the samples or the metric don't fit.
        """
        path, sizes = source["model"], source.get("input_sizes") or {}
        more = [source.get(name) for name in ("name", "data", "calibration", "metric", "made_up")]
        key = (*_key_of(Path(path)), *more, json.dumps(sizes, sort_keys=True))
        return _kept(self._opened, key, lambda: self._open(source))

    def _open(self, source: Source) -> Opened:
        file = {"path": source["model"], **{k: source.get(k) for k in ("name", "input_sizes")}}
        model = self.checked(file)
        data = load_data(source["data"], model, DATA_TITLE) if source.get("data") else None
        made_up = bool(source.get("made_up"))
        calibration = None if made_up else source.get("calibration") or data
        return Opened(model, data, calibration, made_up).scored_by(source.get("metric"))

    def _read(self, file: File) -> OnnxFile:
        path, name = Path(file["path"]), file.get("name")
        return _kept(self._files, (*_key_of(path), name), lambda: load(path, name))


class GivenModel(OpenModels):
    """One model with its samples that are in memory: what every source stands for."""

    def __init__(self, given: Opened) -> None:
        super().__init__()
        self._given = given

    def source(self, source: Source) -> Opened:
        """What was given."""
        return self._given


def _key_of(path: Path) -> Key:
    """Changes with the file."""
    try:
        return (str(path), path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise JobError(FILES_GONE) from error


def _kept(store: "OrderedDict[Key, Kept]", key: Key, make: Callable[[], Kept]) -> Kept:
    """What is there already, or is made now; the few used last stay."""
    if key not in store:
        store[key] = make()
    store.move_to_end(key)
    while len(store) > MOST_OPEN:
        store.popitem(last=False)
    return store[key]
