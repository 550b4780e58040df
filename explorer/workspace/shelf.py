"""The models that a visitor can open, and their files, which go as soon as none needs them."""

from explorer.workspace.folders import Folder
from explorer.workspace.results import Results
from explorer.workspace.sources import Drop, Source


class Shelf:
    """Models by their keys: the samples, and those made from dropped files.

    Files that were refused are removed, so that they don't count any more.
    """

    def __init__(self, folder: Folder, results: Results) -> None:
        self.sources: dict[str, Source] = {}
        self._folder = folder
        self._results = results
        self._leaving: list[Source] = []  # taken away, but perhaps still on the screen

    def others(self, source: Source) -> list[Source]:
        """All models but one."""
        return [each for each in self.sources.values() if each != source]

    def take_away(self, source: Source) -> None:
        """Remove a model that was uploaded; its files stay until `clear`."""
        del self.sources[source.key]
        self._leaving.append(source)

    def put_back(self) -> None:
        """Keep models that were to go: no other could be opened."""
        self.sources |= {each.key: each for each in self._leaving}
        self._leaving = []

    def clear(self, shown: Source | None) -> None:
        """Let go of the models that were taken away, unless one is still on the screen."""
        for source in [each for each in self._leaving if each != shown]:
            self._leaving.remove(source)
            self._results.forget(source)
            self._remove_files(source)

    def replace_readings(self, source: Source) -> None:
        """Let go of the same files as they were read before, or at other input sizes."""
        for older in [each for each in self.others(source) if each.has_files_of(source)]:
            named = (source if each is older else each for each in self.sources.values())
            self.sources = {each.key: each for each in named}
            self._results.forget(older)
            for path in {older.data, older.calibration} - {source.data, source.calibration}:
                if path is not None:
                    path.unlink(missing_ok=True)

    def refuse(self, source: Source) -> None:
        """Drop a model that can't be opened."""
        self.sources.pop(source.key, None)
        if source.drop is not None:
            self.let_go(source.drop)

    def let_go(self, drop: Drop) -> None:
        """Remove files that were dropped, unless a model came of them."""
        known = [*self.sources.values(), *self._leaving]
        used = {path for each in known if each.drop for _, path in each.drop.files}
        for _, path in drop.files:
            if path not in used:
                self._folder.drop(path)

    def _remove_files(self, source: Source) -> None:
        """All of a model, but for those that others have too."""
        known = [*self.sources.values(), *self._leaving]
        kept = {path for each in known for path in (each.model, each.data, each.calibration)}
        for path in {source.model, source.data, source.calibration} - kept:
            if path is not None and path.parent == self._folder.path:
                path.unlink(missing_ok=True)
        if source.drop is not None:
            self.let_go(source.drop)
