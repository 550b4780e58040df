"""One visitor's work: the model that is open, the one recipe, and every run.

`advance` takes in what the jobs have sent and goes on with what is wanted most; the page calls it
whenever it is drawn. Nothing that a job does wrong takes results away.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from explorer.events import Probed
from explorer.findings import Sensitivity
from explorer.jobs import Pool
from explorer.preview.forecast import NO_FORECASTS, survey_base
from explorer.preview.parts import Counts, known
from explorer.recipe import Recipe
from explorer.runs import FIRST_RECIPE, Original, Run, View
from explorer.workspace.budget_search import BudgetSearch
from explorer.workspace.current_run import CurrentRun
from explorer.workspace.file_import import FileImport
from explorer.workspace.folders import Folder
from explorer.workspace.model_on_screen import ModelOnScreen
from explorer.workspace.questions import Questions
from explorer.workspace.results import Results, Tag
from explorer.workspace.runner import Fault, Runner, Work
from explorer.workspace.selected_runs import Selection
from explorer.workspace.shelf import Shelf
from explorer.workspace.slices import Slices, Store
from explorer.workspace.sources import Drop, InputSizes, Source
from explorer.workspace.sweep_runs import SweepRuns
from explorer.workspace.waiting import Waiting

SETTLE_S = 0.2
REST_S = 1.0  # that nothing else was to be done before the survey goes on

_surveys: Store = {}  # of samples, for all visitors

P = ParamSpec("P")
R = TypeVar("R")


def one_at_a_time(
    method: Callable[Concatenate["Workspace", P], R],
) -> Callable[Concatenate["Workspace", P], R]:
    """Let one thread in: a run that a newer one replaces goes on beside it for a moment."""

    @wraps(method)
    def locked(workspace: "Workspace", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with workspace.lock:
            return method(workspace, *args, **kwargs)

    return locked


class Workspace:
    """See the module; `notice` is the one sentence to show where something went wrong."""

    def __init__(self, pool: Pool, folder: Folder) -> None:
        self.lock = threading.RLock()
        self.folder = folder
        self.recipe = FIRST_RECIPE
        self.notice: str | None = None
        self.fault: Fault | None = None  # the last one, since a recipe was asked for
        self.overrides_epoch = 0  # grows when the per-layer choices change other than by editing
        self.selection = Selection()
        self._results = Results()
        self._shelf = Shelf(folder, self._results)
        self._model = ModelOnScreen(self._results, self._opened, self._refused)
        self.importing = FileImport(folder, self.open, self._shelf.let_go)
        self.current_run = CurrentRun(self._results, self._go_back)
        self.budget = BudgetSearch(self.set_recipe)
        self.questions = Questions()
        self.sensitivity = Slices("sensitivity")
        self.sweep = SweepRuns(self._results, lambda: self.current_run.shown_file)
        self.survey = Slices("survey", survey_base, _surveys)
        self._awaited = (  # what a person waits for; the first is wanted most
            self.importing,
            self._model.opening,
            self.current_run,
            self._model.measuring,
        )
        self.waiting = Waiting(self._awaited, self.questions)
        self._beside = (self.budget, self.questions, self.sensitivity, self.sweep)
        self._pool = pool
        self._runner = Runner(pool, folder.domain.name)
        self._surveyed: tuple[Source, Recipe] | None = None
        self._rests_from_s = 0.0

    @property
    def sources(self) -> dict[str, Source]:
        """The models that can be opened, by their keys."""
        return self._shelf.sources

    @property
    def source(self) -> Source | None:
        """The model that is open."""
        return self._model.source

    @property
    def original(self) -> Original:
        """What is known of the open model, uncompressed."""
        return self._model.original

    @property
    def selected(self) -> Source | None:
        """The model that the picker shows: the one being opened, or else the open one."""
        return self._model.candidate or self.source

    @property
    def busy(self) -> bool:
        """True while something that a person waits for is being done, or will be."""
        return self.waiting.busy

    @property
    def is_idle(self) -> bool:
        """True where nothing is going on, and nothing will until somebody asks."""
        works = (*self._awaited, *self._beside)
        return not self.survey.running and all(work.request() is None for work in works)

    def stage(self, parts: Collection[str] = ()) -> tuple[object, ...]:
        """Changes whenever more than numbers has to be drawn anew, or a run has more `parts`."""
        run = self.view.run
        return (
            self.selected,
            self.source,
            self.busy,
            self.notice,
            run and (run.recipe, *(getattr(run, part) is not None for part in parts)),
            self.original.description is not None,
            self.sensitivity.running,
            self.budget.running,
            self.sweep.running,
            self.questions.known,
            known(self.counts) if self.counts else None,
        )

    @property
    def view(self) -> View:
        """What to draw now."""
        return self.current_run.view(self.original, self.recipe)

    @property
    def counts(self) -> Counts | None:
        """What the panel counts with, as far as it is known for the recipe that is asked for."""
        return self._results.counts(self.source, self.recipe) if self.source else None

    @property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """What is known so far of what compressing each place alone costs."""
        found = self.sensitivity.found(self.source, self.recipe)
        return tuple(each.sensitivity for each in found if isinstance(each, Probed))

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run on this model that has numbers, oldest first."""
        return self.current_run.runs(self.source) if self.source else ()

    @property
    def tags(self) -> dict[str, Tag]:
        """What the visitor says about runs on this model, by their recipes as JSON."""
        return self._results.tags(self.source) if self.source else {}

    @property
    def model_id(self) -> str | None:
        """The identity of the open model, however its samples are read."""
        return self.source.model.stem if self.source is not None else None

    def guarded(self, act: Callable[[], None]) -> Callable[[], None]:
        """A callback that runs `act` with the lock held, for a button."""

        def locked() -> None:
            with self.lock:
                act()

        return locked

    @one_at_a_time
    def rename(self, setting: str, text: str) -> None:
        """Call a run on this model something, or nothing."""
        if self.source is not None:
            self._results.rename(self.source, setting, text)

    @one_at_a_time
    def annotate(self, setting: str, text: str) -> None:
        """Keep a note on a run on this model, or none."""
        if self.source is not None:
            self._results.annotate(self.source, setting, text)

    @one_at_a_time
    def toggle_pin(self, setting: str) -> None:
        """Pin a run on this model, or let go of it: the table of runs has another order then."""
        if self.source is not None:
            self._results.toggle_pin(self.source, setting)
            self.selection.epoch += 1

    @one_at_a_time
    def close(self) -> None:
        """Stop the work and remove the files, at the end of the session."""
        self._runner.stop()
        self._pool.forget(self.folder.domain)
        self.folder.remove()

    @one_at_a_time
    def open(self, source: Source) -> None:
        """Open another model; the one on the screen stays until that has worked."""
        self.notice = None
        self.sources.setdefault(source.key, source)
        if source != self.source or self._model.candidate is not None:
            self._model.open(source)
            self._go_on()

    @one_at_a_time
    def receive(
        self, files: Sequence[tuple[str, bytes]], shape: tuple[int, ...] | None = None
    ) -> None:
        """Import dropped files, (name, content) each, and open the model that they make.

        `shape` is that of the model's input, where it was said.

        Raises:
            ExplorerError: they are too many or too large, or can't be kept.
        """
        paths = self.folder.take(*(content for _, content in files))
        kept = zip((name for name, _ in files), paths, strict=True)
        self.read(Drop(tuple(kept), self.source, shape))

    @one_at_a_time
    def read(self, drop: Drop) -> None:
        """Import files that are there already, perhaps in another way than before.

        What is being opened or compressed waits; if the import fails, that begins
        again.
        """
        self.notice = None
        self.importing.start(drop)
        self._go_on()

    @one_at_a_time
    def cancel_importing(self) -> None:
        """Cancel the import; the open model stays."""
        self._runner.cancel(self.importing)

    @one_at_a_time
    def set_metric(self, metric: str | None) -> None:
        """Score the open model by another metric; None: by the one that fits."""
        if self.source is None or self.importing.running:
            return
        changed = replace(self.source, metric=metric)
        if changed.drop is not None:  # so that it is kept where the samples are read anew
            changed = replace(changed, drop=replace(changed.drop, metric=metric))
        if changed != self.source:
            self.sources[changed.key] = changed
            self.open(changed)

    @one_at_a_time
    def set_input_sizes(self, sizes: InputSizes) -> None:
        """Count, time and make up everything at other input sizes; () for the default ones."""
        source = self.source
        if source is None or sizes == source.input_sizes or self.importing.running:
            return
        if source.drop is not None:  # inputs that were made up must be of these sizes
            self.read(replace(source.drop, input_sizes=sizes))
        else:
            self.open(source.resized(sizes))

    @one_at_a_time
    def remove(self, key: str) -> None:
        """Remove a model that was uploaded, and its files, as far as no other model needs them.

        Where it is open, the one that is being opened or else the first of the others takes its
        place; its files go once that is there. Where it is being opened, the open one stays.
        """
        source = self.sources.get(key)
        others = self._shelf.others(source) if source is not None else []
        if source is None or source.drop is None or not others or self.importing.running:
            return
        self.notice = None
        self._shelf.take_away(source)
        if source == self._model.candidate and self.source in others:
            self._model.stay()
            self._go_on()
        elif source in (self.source, self._model.candidate):
            wanted = self._model.candidate
            self.open(wanted if wanted is not None and wanted in others else others[0])
        self._shelf.clear(self.source)

    @one_at_a_time
    def set_recipe(self, recipe: Recipe) -> None:
        """Ask for another setting; what ran for the previous one is dropped."""
        self.notice = None
        if recipe == self.recipe:
            return
        if recipe.layers != self.recipe.layers:
            self.overrides_epoch += 1
        self.edit_recipe(recipe)

    @one_at_a_time
    def edit_recipe(self, recipe: Recipe) -> None:
        """The same for a change made in the table of layers, which needn't be redrawn."""
        self.notice = self.fault = None
        self.recipe = recipe
        self._model.retry()
        if self.source is not None:
            self.current_run.ask(self.source, recipe)
            self._go_on()

    @one_at_a_time
    def measure_again(self) -> None:
        """Make, time and score the setting on the screen anew, whatever is known of it."""
        if self.busy or self.source is None:
            return
        self.notice = None
        self.current_run.ask(self.source, self.recipe, again=True)
        self._go_on()

    @one_at_a_time
    def measure_sensitivity(self) -> None:
        """Measure what compressing each place of the open model costs, while nothing else runs."""
        assert self.source is not None
        self.notice = None
        self.sensitivity.start(self.source, self.recipe)

    @one_at_a_time
    def spend_budget(self) -> None:
        """Search for a recipe within the budget, from the sensitivities that are known."""
        assert self.source is not None
        self.notice = None
        self.budget.start(self.source, self.recipe, self.sensitivities)
        self._go_on()

    @one_at_a_time
    def begin_questions(self) -> None:
        """Call before a page is drawn, which then asks its questions."""
        self.questions.begin()

    @one_at_a_time
    def end_questions(self) -> None:
        """Call after it is drawn: questions that it didn't ask are dropped."""
        self.questions.end_asking()

    @one_at_a_time
    def advance(self) -> None:
        """Take in what the jobs have sent, and go on with what is wanted most."""
        self.waiting.look()
        self._go_on()

    def settle(self) -> None:
        """Wait a moment for the estimate, which takes milliseconds when nothing else runs."""
        deadline = time.monotonic() + SETTLE_S
        while (job := self.current_run.due_at_once) is not None and time.monotonic() < deadline:
            job.wait(SETTLE_S / 10)
            self.advance()

    def _go_on(self) -> None:
        self.sensitivity.follow(self.source, self.recipe)
        self.budget.follow(self.source, self.recipe)
        ended = self.sweep.follow(self.source)
        fault = self._runner.advance(self._works())
        self.fault = fault or self.fault
        self.notice = ended or self._told_of(fault) or self.notice

    def _works(self) -> tuple[Work, ...]:
        """All that may be done now; the survey once nothing else was to be done for a moment."""
        works, now_s = (*self._awaited, *self._beside), time.monotonic()
        if any(work.request() is not None for work in works):
            self._rests_from_s = now_s + REST_S
            return works
        if self.source is not None and self.current_run.shown is not None:
            wanted = (self.source, survey_base(self.recipe))
            if self._surveyed != wanted:
                self._surveyed = wanted
                self.survey.start(*wanted)
        self.survey.follow(self.source, self.recipe)
        return (*works, self.survey) if now_s >= self._rests_from_s else works

    def _told_of(self, fault: Fault | None) -> str | None:
        """What to say of a fault; that of a survey, which nobody asked for, hides no other."""
        if fault is None or fault.work is not self.survey:
            return fault.sentence if fault is not None else None
        return self.notice or f"{fault.sentence} {NO_FORECASTS}"

    def _go_back(self, recipe: Recipe) -> None:
        """Return to a recipe that worked; make its run if none is on the screen."""
        self.recipe = recipe
        self.overrides_epoch += 1
        if self.current_run.shown is None and self.source is not None:
            self.current_run.ask(self.source, recipe)

    def _opened(self, before: Source | None, source: Source) -> None:
        """Another model is on the screen."""
        if before is not None and not _is_same_model(source, before):
            self.recipe = FIRST_RECIPE  # the sliders were those of the model before
            self.overrides_epoch += 1
        self._shelf.replace_readings(source)
        self.current_run.clear()
        self.current_run.ask(source, self.recipe)
        self._shelf.clear(source)

    def _refused(self, source: Source) -> None:
        """A model can't be opened; the one on the screen stays."""
        self._shelf.put_back()
        if self.source is not None and source.key == self.source.key:
            self.sources[source.key] = self.source  # the same model, as it was
        elif source != self.source:
            self._shelf.refuse(source)
            if source.drop is None and self.source is None and source.input_sizes:
                self._model.open(source.resized(()))  # a link may say anything


def _is_same_model(one: Source, other: Source) -> bool:
    """Perhaps with other samples, read in another way, or at other input sizes."""
    return one.model == other.model or one.has_files_of(other)
