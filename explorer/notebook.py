"""The explorer in a notebook: the live panel as a widget, and its setting and results in code.

>>> from explorer.notebook import Explorer                                # doctest: +SKIP
>>> view = Explorer("model.onnx", data="samples.npz")                     # doctest: +SKIP
>>> view                                    # the panel; move its sliders   # doctest: +SKIP
>>> view.recipe, view.report, view.model.save("small.onnx")               # doctest: +SKIP
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import anywidget
import traitlets

from explorer.compress.calibration import Calibration, check_calibration
from explorer.errors import JobError, RecipeError
from explorer.formats.data import Array, Dataset, load_data
from explorer.formats.onnx_file import load as read_onnx
from explorer.jobs.in_thread import CLOSED, ThreadPool
from explorer.jobs.open_models import GivenModel
from explorer.measure.scoring import check_metric
from explorer.model import Model
from explorer.opening import load
from explorer.pipeline import Opened
from explorer.preview.forecast import basis_of, surveyed
from explorer.preview.parts import name_of
from explorer.recipe import Recipe
from explorer.render.cards import cards, numbers
from explorer.render.text import machine_text
from explorer.render.words import describe
from explorer.report import Report
from explorer.runs import FIRST_RECIPE, Run
from explorer.widget.achieved import achieved_text
from explorer.widget.bundle import SCRIPTS, bundle
from explorer.widget.choice import read_choice
from explorer.widget.panel_words import PANEL
from explorer.widget.tradeoff import tried
from explorer.workspace.folders import Folder, storage
from explorer.workspace.following import Follower
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

GONE = "The compressed model's file was removed; set another recipe and then this one again."
Path = str | os.PathLike[str]
Samples = Dataset | Mapping[str, Array] | Path | bytes  # what `load_data` reads


class Explorer(anywidget.AnyWidget):
    """One model, its samples, and the panel; the numbers come from a thread of the kernel.

    While a slider moves, the browser computes; when it is released, the setting is compressed,
    measured and scored here, and a newer setting replaces an older one. `recipe` is the sliders'
    setting; `report` and `model` are its results, and `original` is the report of the model as it
    is. These three wait for numbers that are still to come.
    """

    _esm = bundle(SCRIPTS / "jupyter.js")
    _css = (SCRIPTS / "jupyter.css").read_text()
    _shown = traitlets.Dict().tag(sync=True)
    _status = traitlets.Dict().tag(sync=True)
    _counts = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: Model | Path | bytes,
        data: Samples | None = None,
        calibration: Calibration | Samples | None = None,
        recipe: Recipe = FIRST_RECIPE,
        metric: str | None = None,
    ) -> None:
        """Open a model (see `load`) with samples to score it on, and begin with a setting.

        Samples for `calibration` need no labels; without any, the inputs of `data` serve. Without
        `data` no quality is measured; `metric` is as for `explorer.evaluate`.

        Raises:
            ModelError: the model can't be opened.
            DataError: the samples or the metric don't fit it.
            CompressionError: the calibration was made for another model.
        """
        _check_recipe(recipe)
        opened = _opened(model, data, calibration, metric)
        super().__init__()
        self._seen = 0
        self._name = opened.model.name
        self._is_owed = True  # an error, to the code that asked for the recipe
        self._pool = ThreadPool(GivenModel(opened))
        folder = storage().folder()
        self._workspace = Workspace(self._pool, folder)
        self._follower = Follower(self._workspace, self._show)
        self.on_msg(lambda _, content, __: self._take_choice(content))
        self._workspace.edit_recipe(recipe)
        self._workspace.open(_source(opened.model, folder))
        self._follower.wake()

    @property
    def recipe(self) -> Recipe:
        """The setting that the panel shows; a new value moves its sliders.

        Raises:
            RecipeError: the value is no recipe.
        """
        return self._workspace.recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        _check_recipe(recipe)
        self._ask(recipe, is_owed=True)

    @property
    def model(self) -> Model:
        """The compressed model.

        Raises:
            ExplorerError: the setting that code asked for can't be made; `recipe` then is the one
                before.
        """
        run = self._made()
        if run.file is None:
            raise JobError(GONE)
        return Model.of_file(read_onnx(run.file, run.report().name))

    @property
    def report(self) -> Report:
        """Of the compressed model, with latency and quality against the original.

        Raises:
            ExplorerError: as for `model`.
        """
        return self._made().report()

    @property
    def original(self) -> Report:
        """Of the model as it is.

        Raises:
            ExplorerError: it can't be measured.
        """
        workspace = self._workspace
        self._follower.wait(lambda: not workspace.busy)
        if workspace.original.profile is None or workspace.original.description is None:
            raise JobError(workspace.notice or f"Nothing was measured. {CLOSED}")
        return workspace.original.report()

    def close(self) -> None:
        """Take the panel away, and stop the work."""
        if hasattr(self, "_follower"):  # what couldn't be opened is closed, too
            self._follower.close()
            self._pool.close()
        super().close()

    def _made(self) -> Run:
        """The newest setting once it is made and measured.

        Raises:
            ExplorerError: it can't be made, or nothing could be so far.
        """
        workspace, current = self._workspace, self._workspace.current_run
        self._follower.wait(lambda: workspace.source is not None and not current.running)
        with workspace.lock:
            is_owed, self._is_owed = self._is_owed, False
            fault, shown = workspace.fault, current.shown
            if is_owed and fault is not None and fault.work is current:
                raise fault.cause or JobError(fault.sentence)
            if shown is None or shown.recipe != workspace.recipe:  # closed before that was made
                raise JobError(workspace.notice or f"No model was compressed. {CLOSED}")
            return shown

    def _ask(self, recipe: Recipe, is_owed: bool) -> None:
        """`is_owed` says that what goes wrong is raised when somebody asks for the results."""
        with self._workspace.lock:
            self._is_owed = is_owed
            self._workspace.set_recipe(recipe)
            self._follower.wake()

    def _take_choice(self, sent: object) -> None:
        """Ask for the setting at which a slider was released."""
        choice = read_choice(sent, self._workspace.model_id)
        with self._workspace.lock:
            if choice.number is not None:
                self._seen = max(self._seen, choice.number)
            if choice.recipe is not None:
                self._ask(choice.recipe, is_owed=False)
            elif choice.refusal is not None:
                self._workspace.notice = choice.refusal
                self._show()

    def _show(self) -> None:
        """Send what has changed; the counts first, as the numbers name them."""
        workspace = self._workspace
        counts, recipe = workspace.counts, workspace.recipe
        if counts is not None and self._counts.get("name") != name_of(counts):
            self._counts = _plain({"name": name_of(counts), "counts": counts})
        basis = basis_of("", recipe)  # there is one model with one set of samples
        shown = {
            "basis": basis,
            "model": counts and name_of(counts),
            "opened": workspace.model_id,
            "recipe": asdict(recipe),
            "seen": self._seen,
            "numbers": numbers(cards(workspace.view, workspace.busy)),
            "tried": tried(workspace.original, workspace.runs, workspace.busy),
            "surveyed": surveyed(workspace.survey.found(workspace.source, recipe), basis),
            "words": PANEL,
        }
        self._shown = _plain(shown)
        self._status = _status(workspace, self._name)


def _opened(model: Any, data: Any, calibration: Any, metric: str | None) -> Opened:
    check_metric(metric)
    opened = model if isinstance(model, Model) else load(model)
    samples = None if data is None else load_data(data, opened)
    if calibration is None:
        calibration = samples
    elif isinstance(calibration, Calibration):
        check_calibration(opened, calibration)
    else:
        calibration = load_data(calibration, opened)
    separate = opened.with_changes()  # caches of models aren't made for two threads
    return Opened(separate, samples, calibration).scored_by(metric)


def _check_recipe(recipe: object) -> None:
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"The recipe is {recipe!r}; it must be an explorer.Recipe.")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As the browser will have them: keys are text, and rows are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def _source(model: Model, folder: Folder) -> Source:
    """The model as a workspace names it; it is in memory, and no file is read."""
    return Source(
        key=model.id, title=model.name, domain=folder.domain, model=folder.path / "original.onnx"
    )


def _status(workspace: Workspace, name: str) -> dict[str, Any]:
    """The line above the panel."""
    host, run = workspace.original.host, workspace.view.run
    machine = f"measured on {machine_text(host)}" if host is not None else ""
    fraction, work = workspace.waiting.progress or (1.0, "" if workspace.busy else machine)
    return {
        "name": name,
        "setting": describe(run.recipe) if run else "…",
        "achieved": achieved_text(workspace.view),
        "busy": workspace.busy,
        "fraction": fraction,
        "work": work,
        "notice": workspace.notice or "",
    }
