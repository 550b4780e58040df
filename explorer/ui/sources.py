"""Where models come from: the samples of the catalog, and the files that a person drops in."""

import hashlib
import re
import shutil
import tempfile
import tomllib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from explorer.errors import DataError, ModelError
from explorer.text import printable

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"


@dataclass(frozen=True)
class Source:
    """A model with its data; `key` tells sources apart, `title` is only ever shown as text.

    `files` is how a person knows model, data and calibration: what the command line names.
    """

    key: str
    title: str
    model: Path
    data: Path | None = None
    calibration: Path | None = None
    files: tuple[str, str | None, str | None] = ("model.onnx", None, None)

    def arguments(self) -> dict[str, Any]:
        """The `source` of a task in `explorer.jobs.tasks`."""
        return {
            "model": str(self.model),
            "name": self.title,
            "data": str(self.data) if self.data else None,
            "calibration": str(self.calibration) if self.calibration else None,
        }

    @property
    def stem(self) -> str:
        """A file name without extension, safe in any shell."""
        return re.sub(r"[^a-z0-9]+", "_", Path(self.files[0]).stem.lower()).strip("_") or "model"


@cache
def samples() -> tuple[Source, ...]:
    """The models that come with the explorer, in the order of the catalog."""
    catalog = tomllib.loads((SAMPLES / "catalog.toml").read_text())
    return tuple(
        Source(
            key=entry["name"],
            title=entry["title"],
            model=SAMPLES / entry["file"],
            data=SAMPLES / entry["test_data"],
            calibration=SAMPLES / entry["calibration_data"],
            files=(
                f"sample_models/{entry['file']}",
                f"sample_models/{entry['test_data']}",
                f"sample_models/{entry['calibration_data']}",
            ),
        )
        for entry in catalog["model"]
    )


class Folder:
    """A folder for one session's files, removed with the session or at the end of the process."""

    _all: ClassVar["weakref.WeakSet[Folder]"] = weakref.WeakSet()

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="explorer-"))
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._all.add(self)

    @classmethod
    def remove_all(cls) -> None:
        """Remove the folders of all sessions: a server that is told to stop runs no exit hooks."""
        for folder in list(cls._all):
            folder.remove()

    def store(self, content: bytes, suffix: str) -> Path:
        """Write bytes under a name made from their hash."""
        path = self.path / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        if not path.exists():
            path.write_bytes(content)
        return path


def uploaded(folder: Folder, files: Sequence[tuple[str, bytes]], current: Source | None) -> Source:
    """The source that dropped files, (name, bytes) each, amount to.

    One model with or without data; or data alone, for the model that is open.

    Raises:
        ModelError, DataError: there is more than one model or data file, or none of use.
    """
    models = [file for file in files if file[0].lower().endswith(".onnx")]
    data = [file for file in files if file[0].lower().endswith(".npz")]
    if len(models) > 1:
        raise ModelError(f"There are {len(models)} models; drop one .onnx file at a time.")
    if len(data) > 1:
        raise DataError(f"There are {len(data)} data files; drop one .npz file at a time.")
    if not models and not (data and current):
        raise ModelError("There is no model among these files; drop one .onnx file.")
    data_path = folder.store(data[0][1], ".npz") if data else None
    if models:
        name, content = models[0]
        path, title = folder.store(content, ".onnx"), clean_title(name)
        model_file = f"{title}.onnx"
        title += f" with {clean_title(data[0][0])}" if data else ""
    else:
        assert current is not None
        model_file = current.files[0]
        path, title = current.model, f"{current.title} (own data)".replace(" (own data)" * 2, "")
    key = "/".join(p.stem for p in (path, data_path) if p)
    data_file = f"{clean_title(data[0][0])}.npz" if data else None
    known_as = (model_file, data_file, data_file)
    return Source(key, title, path, data_path, files=known_as)


def clean_title(file_name: str) -> str:
    """The stem of a file name as plain, printable text of bounded length."""
    return printable(Path(file_name).stem) or "model"
