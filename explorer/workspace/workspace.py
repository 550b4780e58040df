"""One visitor's work: the model that is open, the one recipe, and every run.

`advance` looks at the jobs, takes in what has come, and starts what is due; the
page calls it on every run. Nothing that a job does wrong takes results away.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from explorer.errors import ExplorerError
from explorer.events import (
    Counted,
    Described,
    Encoded,
    Planned,
    Probed,
    Profiled,
    Scored,
    ScoredWithoutReconstruction,
    newest,
)
from explorer.findings import Sensitivity
from explorer.jobs import Job, Pool, State
from explorer.preview.forecast import NO_FORECASTS, survey_base
from explorer.preview.parts import Counts, known
from explorer.recipe import Recipe
from explorer.runs import FIRST_RECIPE, Original, Run, View
from explorer.workspace.budget_search import BudgetSearch
from explorer.workspace.current_run import CurrentRun
from explorer.workspace.file_import import FileImport
from explorer.workspace.folders import Folder
from explorer.workspace.picks import Picks
from explorer.workspace.questions import Questions
from explorer.workspace.results import Results
from explorer.workspace.slices import Slices, Store
from explorer.workspace.sources import Drop, InputSizes, Source
from explorer.workspace.sweep_runs import SweepRuns

SETTLE_S = 0.2
REST_S = 1.0  # that nothing else was to be done before the survey goes on
# Results that wait for the next look, or for another: each look takes a browser's time.
CAN_WAIT = (Planned, Counted, Encoded, Profiled, ScoredWithoutReconstruction)

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
        self.id = folder.domain.name
        self.folder = folder
        self.sources: dict[str, Source] = {}
        self.source: Source | None = None
        self.original = Original()
        self.recipe = FIRST_RECIPE
        self.notice: str | None = None
        self.overrides_epoch = 0  # grows when the per-layer choices change other than by editing
        self.sensitivity = Slices(pool, self.id, "sensitivity")
        self.survey = Slices(pool, self.id, "survey", survey_base, _surveys)
        self.budget = BudgetSearch(pool, self.id)
        self.questions = Questions(pool, self.id)
        self.importing = FileImport(pool, folder)
        self._memory = Results()
        self.current_run = CurrentRun(pool, self.id, self._memory)
        self.sweep = SweepRuns(pool, self.id, self._memory)
        self.picks = Picks()
        self._pool = pool
        self._candidate: Source | None = None
        self._leaving: list[Source] = []  # removed, but perhaps still on the screen
        self._put_off: Source | None = None  # while files were dropped instead
        self._opening: Job | None = None
        self._due = False
        self._original_due = False
        self._surveyed: tuple[Source, Recipe] | None = None
        self._looked_at: tuple[Job | None, object] = (None, None)  # and at what of it
        self._rests_from_s = 0.0

    @property
    def selected(self) -> Source | None:
        """The model that the picker shows: the one being opened, or else the open one."""
        return self._candidate or self.source

    @property
    def busy(self) -> bool:
        """True while a job is waiting or running."""
        return any((self.importing.job, self._opening, self.current_run.job))

    @property
    def progress(self) -> tuple[float, str] | None:
        """How far the work is, or None when there is none."""
        job = self._awaited
        if job is None:
            return None
        if job.state is State.WAITING:
            return 0.0, self.queued
        return job.progress if job.state is not State.CANCELLED else (job.progress[0], "stopping")

    @property
    def queued(self) -> str:
        """Where in the queue the work stands; empty once it has begun, or where there is none."""
        job = self._awaited
        if job is None or job.state is not State.WAITING:
            return ""
        return f"queued, {job.position} ahead" if job.position else "queued, next"

    @property
    def ahead(self) -> int:
        """How many jobs are ahead of what this visit waits for."""
        job = self._awaited
        return job.position if job is not None and job.state is State.WAITING else 0

    @property
    def _watched(self) -> Job | None:
        return self._awaited or self.questions.job

    @property
    def _awaited(self) -> Job | None:
        return self.importing.job or self.current_run.job or self._opening

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
        return self._memory.counts(self.source, self.recipe) if self.source else None

    @property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """What is known so far of what compressing each place alone costs."""
        found = self.sensitivity.found(self.source, self.recipe)
        return tuple(each.sensitivity for each in found if isinstance(each, Probed))

    @property
    def tried(self) -> tuple[Run, ...]:
        """Every run on this model that has numbers, oldest first."""
        return self.current_run.tried(self.source) if self.source else ()

    @one_at_a_time
    def close(self) -> None:
        """Stop the work and remove the files, at the end of the visit."""
        if self._opening is not None:
            self._pool.cancel(self._opening)
        self.current_run.stop()
        self.importing.stop()
        self.sensitivity.stop()
        self.survey.stop()
        self.questions.stop()
        self.budget.stop()
        self.sweep.stop()
        self._pool.forget(self.folder.domain)
        self.folder.remove()

    @one_at_a_time
    def open(self, source: Source) -> None:
        """Open another model; the one on the screen stays until that has worked."""
        self.notice = None
        self.sources.setdefault(source.key, source)
        if source == self.source and self._candidate is None:
            return
        self.current_run.stop()
        self.budget.stop()
        known = self._memory.original(source)
        if known.description is not None:  # a sample that somebody has opened before
            if self._opening is not None:
                self._pool.cancel(self._opening)
            self._opening = None
            self._change_model(source, known)
            self._start()
            return
        self._candidate = source
        self._opening = self._measure_original(source)

    @one_at_a_time
    def receive(
        self, files: Sequence[tuple[str, bytes]], shape: tuple[int, ...] | None = None
    ) -> None:
        """Import dropped files, (name, content) each, and open what comes of them.

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

        What is being compressed waits; where nothing comes of the import, it begins again.
        """
        self.notice = None
        self._due = self._due or self.current_run.job is not None
        self.current_run.stop()
        self.budget.stop()
        if self.source is None:
            self._put_off = self._candidate or self._put_off
        self._candidate = self._opening = None
        self._make_way()
        self.notice = self.importing.start(drop)

    @one_at_a_time
    def set_metric(self, metric: str | None) -> None:
        """Measure quality of the open model by another metric; None: by the one that fits."""
        self._reopen(metric=metric)

    def _reopen(self, **changes: Any) -> None:
        """Open the same model with something changed about it, in its own place."""
        if self.source is None or self.importing.job is not None:
            return
        changed = replace(self.source, **changes)
        if changed.drop is not None:  # so that it is kept where the samples are read anew
            changed = replace(changed, drop=replace(changed.drop, metric=changed.metric))
        if changed != self.source:
            self.sources[changed.key] = changed
            self.open(changed)

    @one_at_a_time
    def remove(self, key: str) -> None:
        """Remove a model that was uploaded, and its files, as far as no other model needs them.

        Where it is open, the first of the others is opened; its files go once that is there.
        """
        source = self.sources.get(key)
        others = [each for each in self.sources.values() if each != source]
        if source is None or source.drop is None or not others or self.importing.job is not None:
            return
        self.notice = None
        del self.sources[key]
        self._leaving.append(source)
        if source in (self.source, self._candidate):
            self.open(others[0])
        self._clear_leaving()

    def _clear_leaving(self) -> None:
        """Let go of removed models, unless one is still on the screen."""
        for source in [each for each in self._leaving if each != self.source]:
            self._leaving.remove(source)
            self._memory.forget(source)
            self.importing.remove(source, [*self.sources.values(), *self._leaving])

    @one_at_a_time
    def set_input_sizes(self, sizes: InputSizes) -> None:
        """Count, time and make up everything at other input sizes; none stands for usual ones."""
        source = self.source
        if source is None or sizes == source.input_sizes or self.importing.job is not None:
            return
        if source.drop is not None:  # inputs that were made up must be of these sizes
            self.read(replace(source.drop, input_sizes=sizes))
        else:
            self.open(source.resized(sizes))

    @one_at_a_time
    def cancel_importing(self) -> None:
        """Have the import end soon, at a person's wish; the open model stays."""
        self.importing.cancel()

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
        """The same for a change made in the table of layers, which shows it already."""
        self.notice = None
        self.recipe = recipe
        self._due = True
        if self._candidate is None and self.importing.job is None and self.source is not None:
            self._start()

    @one_at_a_time
    def measure_again(self) -> None:
        """Make, time and score the setting on the screen anew, whatever is known of it."""
        if self.busy or self.source is None:
            return
        self.notice = None
        self._make_way()
        self.notice = self.current_run.start(self.source, self.recipe, again=True)

    @one_at_a_time
    def measure_sensitivity(self) -> None:
        """Measure what compressing each place of the open model costs, while nothing else runs."""
        assert self.source is not None
        self.notice = None
        self.sensitivity.start(self.source, self.recipe)

    @one_at_a_time
    def begin_questions(self) -> None:
        """Before a page is drawn, which then asks."""
        self.questions.begin()

    @one_at_a_time
    def end_questions(self) -> None:
        """Behind that: what it hasn't asked isn't found out."""
        self.questions.end()

    @one_at_a_time
    def advance(self) -> None:
        """Take in what the jobs have sent, and start what is due."""
        job = self._watched
        self._looked_at = (job, job and _news_of(job))  # before its parts are read
        self._advance_settings()
        self.questions.advance(free=not (self.busy or self.budget.running))
        survey = self._advance_survey()
        self.notice = (
            self.budget.advance(self.source, self.recipe, self.set_recipe)
            or self.sensitivity.advance(
                self.source, self.recipe, free=not (self.busy or self.questions.running)
            )
            or self._advance_sweep()
            or self.notice
            or survey
        )

    @property
    def _is_free(self) -> bool:
        """True while nothing that a person waits for is to be done."""
        works = (self.sensitivity, self.budget, self.questions)
        return not (self.busy or any(work.running for work in works))

    def _advance_sweep(self) -> str | None:
        return self.sweep.advance(self.source, self.current_run.shown_file, self._is_free)

    def _advance_survey(self) -> str | None:
        """Find out what predictions need, once nothing else was to be done for a moment."""
        free, now_s = self._is_free and not self.sweep.running, time.monotonic()
        if not free:
            self._rests_from_s = now_s + REST_S
        if free and self.source is not None and self.current_run.shown is not None:
            wanted = (self.source, survey_base(self.recipe))
            if self._surveyed != wanted:
                self._surveyed = wanted
                self.survey.start(*wanted)
        rests = free and now_s >= self._rests_from_s
        error = self.survey.advance(self.source, self.recipe, rests)
        return error and f"{error} {NO_FORECASTS}"

    def _advance_settings(self) -> None:
        self._follow_importing()
        self._follow_opening()
        self._take_up_put_off()
        self.notice = self.current_run.advance(self.recipe, self._go_back) or self.notice
        if self.busy or self.source is None:
            return
        if self._due:
            self._start()
        elif self._original_due:
            self._original_due = False
            self._opening = self._measure_original(self.source)

    def settle(self) -> None:
        """Wait a moment for the estimate, which takes milliseconds when nothing else runs."""
        deadline = time.monotonic() + SETTLE_S
        while (job := self.current_run.due_at_once) is not None and time.monotonic() < deadline:
            job.wait(SETTLE_S / 10)
            self.advance()

    def await_news(self, timeout_s: float) -> bool:
        """Wait a moment for what the page waits for; True where something has come.

        Not under the lock: what is asked for meanwhile goes first.
        """
        job = self._watched
        if job is None:
            time.sleep(timeout_s)
            return False
        looked_at = self._looked_at
        return job.wait_for(lambda: (job, _news_of(job)) != looked_at, timeout_s)

    def _start(self) -> None:
        """Show a setting from memory, or compress."""
        assert self.source is not None
        self.current_run.stop()
        self._due = False
        if self.current_run.recall(self.source, self.recipe):
            return
        self._opening, self._original_due = None, self._original_incomplete()
        self._make_way()
        self.notice = self.current_run.start(self.source, self.recipe) or self.notice

    def _go_back(self, recipe: Recipe) -> None:
        self.recipe = recipe  # the setting that the screen shows, if it shows any
        self._due = self._due or self.current_run.shown is None
        self.overrides_epoch += 1

    def _measure_original(self, source: Source) -> Job | None:
        self._make_way()
        given = {"source": source.arguments()}
        try:
            return self._pool.submit(self.id, source.domain, "open_model", given)
        except ExplorerError as error:
            self.notice = str(error)
            return None

    def _make_way(self) -> None:
        self.sensitivity.make_way()
        self.survey.make_way()
        self.questions.make_way()
        self.sweep.make_way()

    def _follow_importing(self) -> None:
        opened, refusal = self.importing.advance(self.sources.values())
        if opened is not None:
            self.open(opened)
        self.notice = refusal or self.notice

    def _take_up_put_off(self) -> None:
        """Open the first model after all, where nothing came of files that were dropped before."""
        if self._put_off is None or self.busy or self.source is not None:
            return
        first, self._put_off = self._put_off, None
        notice = self.notice
        self.open(first)
        self.notice = notice or self.notice

    def _follow_opening(self) -> None:
        job = self._opening
        if job is None:
            return
        ended, events = job.ended, job.events  # in this order: nothing comes after the end
        if self._candidate is not None and newest(events, Described) is not None:
            self._change_model(self._candidate, self._memory.original(self._candidate))
        if self._candidate is None:
            self.original = self.original.after(events)
            if ended and job.state is State.DONE and self.source is not None:
                self._memory.keep_original(self.source, self.original)
        if self._candidate is None and self._due:
            self._start()
        elif ended:
            self._opening = None
            self._end_opening(job)

    def _end_opening(self, job: Job) -> None:
        if job.state is State.FAILED:
            self.notice = job.error
        refused, self._candidate = self._candidate, None
        for kept in self._leaving:  # nothing else could be opened
            self.sources[kept.key] = kept
        self._leaving = []
        if refused is not None and self.source is not None and refused.key == self.source.key:
            self.sources[refused.key] = self.source  # the same model, as it was
        elif refused is not None and refused != self.source:
            self.sources.pop(refused.key, None)
            if refused.drop is not None:
                self.importing.let_go(refused.drop, self.sources.values())
            elif self.source is None and refused.input_sizes:  # a link may say anything
                notice = self.notice
                self.open(refused.resized(()))
                self.notice = notice

    def _change_model(self, source: Source, original: Original) -> None:
        if self.source is not None and not _is_same_model(source, self.source):
            self.recipe = FIRST_RECIPE  # the sliders were those of the model before
            self.overrides_epoch += 1
        self.source, self._candidate = source, None
        self._replace_readings(source)
        self.original = original
        self.current_run.clear()
        self._due = True
        self._clear_leaving()

    def _replace_readings(self, source: Source) -> None:
        """Let go of the same files as they were read before, or at other input sizes."""
        for older in [each for each in self.sources.values() if each.has_files_of(source)]:
            if older == source:
                continue
            named = (source if each is older else each for each in self.sources.values())
            self.sources = {each.key: each for each in named}
            self._memory.forget(older)
            for path in {older.data, older.calibration} - {source.data, source.calibration}:
                if path is not None:
                    path.unlink(missing_ok=True)

    def _original_incomplete(self) -> bool:
        return self.notice is None and not self.original.is_complete


def _is_same_model(one: Source, other: Source) -> bool:
    """Perhaps with other samples, read in another way, or at other input sizes."""
    return one.model == other.model or one.has_files_of(other)


def _news_of(job: Job) -> object:
    """What of a job is worth a look at once; a number that has only become surer isn't."""
    news = [event for event in job.events if not isinstance(event, CAN_WAIT)]
    return job.ended, {
        (type(event), isinstance(event, Scored) and event.on_first) for event in news
    }
