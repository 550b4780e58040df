"""Where models come from: the samples of the catalog, and the files that a person drops in."""

import json
import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from explorer.errors import JobError
from explorer.events import DataRead, Event, ModelRead, Noted, newest
from explorer.jobs import Domain
from explorer.jobs.processes import BROKEN
from explorer.names import cleaned
from explorer.workspace.folders import storage

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
OWN_DATA = " (own data)"
SIZES_MARK = "@"  # before the input sizes in a key
InputSizes = tuple[tuple[str, tuple[int, ...]], ...]  # shapes by input, which can be hashed


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model with its data; `key` identifies it, `title` is only ever shown as text.

    `domain` says whose it is. `files` is how a person knows model, data and calibration: what the
    command line names. Of files that were dropped, `notes` are sentences on how they were read,
    `made_up` says that the data are random inputs, and `preparation` how samples were prepared: a
    `Preprocessing` as JSON, or None. `classes` names the labels and `characters` the whole numbers
    of texts, from 1 on, where that is known; `pairs` are the labels as their file writes them, each
    with its class number. `metric` is what a person wants quality measured by. `input_sizes` are
    shapes of inputs that were set, `sample_sizes` those that dropped samples have.
    """

    key: str
    title: str
    domain: Domain
    model: Path
    data: Path | None = None
    calibration: Path | None = None
    files: tuple[str, str | None, str | None] = ("model.onnx", None, None)
    notes: tuple[str, ...] = ()
    made_up: bool = False
    drop: "Drop | None" = None
    preparation: str | None = None
    classes: tuple[str, ...] = ()
    characters: str = ""
    metric: str | None = None
    pairs: tuple[tuple[str, int], ...] = ()
    input_sizes: InputSizes = ()
    sample_sizes: InputSizes = ()

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shapes that everything is counted with, where they aren't the usual ones."""
        return {**dict(self.sample_sizes), **dict(self.input_sizes)}

    def arguments(self) -> dict[str, Any]:
        """The `source` of a task in `explorer.jobs.tasks`."""
        return {
            "model": str(self.model),
            "name": self.title,
            "data": str(self.data) if self.data else None,
            "calibration": str(self.calibration) if self.calibration else None,
            "made_up": self.made_up,
            "metric": self.metric,
            "input_sizes": self.sizes,
        }

    def resized(self, sizes: InputSizes) -> "Source":
        """The same model and data at other input sizes, as a source of its own."""
        key = self.key.removesuffix(_mark(self.input_sizes))
        return replace(self, key=f"{key}{_mark(sizes)}", input_sizes=sizes)

    def has_files_of(self, other: "Source") -> bool:
        """Whether both were read from the same files, perhaps in other ways."""
        if self.drop is None or other.drop is None:
            return self.resized(()) == other.resized(())
        return self.drop.files == other.drop.files

    @property
    def stem(self) -> str:
        """A file name without extension, safe in any shell."""
        return re.sub(r"[^a-z0-9]+", "_", Path(self.files[0]).stem.lower()).strip("_") or "model"


@cache
def sample_models() -> tuple[Source, ...]:
    """The models that come with the explorer, in the order of the catalog."""
    catalog = tomllib.loads((SAMPLES / "catalog.toml").read_text())
    return tuple(
        Source(
            key=entry["name"],
            title=entry["title"],
            domain=storage().samples,
            model=SAMPLES / entry["file"],
            data=SAMPLES / entry["test_data"],
            calibration=SAMPLES / entry["calibration_data"],
            files=(
                f"sample_models/{entry['file']}",
                f"sample_models/{entry['test_data']}",
                f"sample_models/{entry['calibration_data']}",
            ),
            classes=tuple(entry["classes"]),
            characters=_characters(entry["name"]),
        )
        for entry in catalog["model"]
    )


def _characters(name: str) -> str:
    path = SAMPLES / f"{name.split('_', maxsplit=1)[0]}_characters.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclass(frozen=True)
class Drop:
    """Files that a person has dropped, (name, path) each, and the model that was open then.

    `shape` is that of the model's input, `asked` how samples are prepared and `mapping` which class
    number a label gets, as JSON, `input_sizes` the shapes that its inputs are to have and `metric`
    what quality is measured by, where the person has said so.
    """

    files: tuple[tuple[str, Path], ...]
    current: Source | None
    shape: tuple[int, ...] | None = None
    asked: str | None = None
    mapping: str | None = None
    input_sizes: InputSizes | None = None
    metric: str | None = None

    @property
    def sizes(self) -> InputSizes:
        """The shapes that were set, here or for the model that was open."""
        if self.input_sizes is not None:
            return self.input_sizes
        return self.current.input_sizes if self.current is not None else ()

    def arguments(self) -> dict[str, Any]:
        """The arguments of the task `import_files`."""
        current = self.current and {"path": str(self.current.model), "name": self.current.title}
        return {
            "files": [{"name": clean_title(name), "path": str(path)} for name, path in self.files],
            "current": current,
            "shape": self.shape,
            "asked": json.loads(self.asked) if self.asked else None,
            "mapping": json.loads(self.mapping) if self.mapping else None,
            "input_sizes": dict(self.sizes),
        }

    def source(self, domain: Domain, events: tuple[Event, ...]) -> Source:
        """The source that the events of `import_files` describe.

        Raises:
            JobError: the events name no file, or files of another visitor.
        """
        model, data, current = newest(events, ModelRead), newest(events, DataRead), self.current
        if model is not None:
            path = _own(model.path, domain)
            title = self._title(path.with_suffix(""))
            known_as, notes = f"{title}.onnx", [*model.notes]
        elif data is None or current is None:
            raise JobError(BROKEN)
        else:
            path, known_as, notes = current.model, current.files[0], []
            title = current.title.removesuffix(OWN_DATA) + OWN_DATA
        noted = newest(events, Noted)
        test = calibration = prepared = None
        if data is not None:
            test, notes = _own(data.test, domain), [*notes, *data.notes]
        is_made_up = data is not None and data.calibration is None
        if data is not None and data.calibration is not None:
            prepared, calibration = data.preprocessing, _own(data.calibration, domain)
            samples_title = self._title(Path(str(test).rsplit("-", 2)[0]))
            if model is not None and samples_title != title:
                title += f" with {samples_title}"
        key = f"{path.stem}/{test.stem if test else ''}/{self.asked}/{self.shape}/{self.mapping}"
        sizes = self.sizes if model is None else self.input_sizes or ()
        key += _mark(sizes)
        parted = ("test.npz", "calibration.npz") if calibration else (None, None)
        return Source(
            key=key,
            title=title,
            domain=domain,
            model=path,
            data=test,
            calibration=calibration,
            files=(known_as, *parted),
            notes=(*notes, *(noted.notes if noted is not None else ())),
            made_up=is_made_up,
            drop=self,
            preparation=json.dumps(prepared) if prepared else None,
            classes=data.classes if data is not None else (),
            pairs=data.pairs if data is not None else (),
            input_sizes=sizes,
            sample_sizes=tuple((data.sizes or {}).items()) if data is not None else (),
            metric=self.metric,
        )

    def _title(self, path: Path) -> str:
        """The name under which a file was dropped."""
        name = next((name for name, dropped in self.files if dropped == path), None)
        if name is None:
            raise JobError(BROKEN)
        return clean_title(name)


def _mark(sizes: InputSizes) -> str:
    return f"{SIZES_MARK}{json.dumps(sizes)}" if sizes else ""


def _own(path: str, domain: Domain) -> Path:
    """A file of the domain's own folder; what a confined process says may be anything."""
    found = Path(path)
    if found.parent != domain.folder or found.is_symlink() or not found.is_file():
        raise JobError(BROKEN)
    return found


def clean_title(file_name: str) -> str:
    """The stem of a file name as plain, printable text of bounded length."""
    return cleaned(PurePosixPath(file_name.replace("\\", "/")).stem, "model")
