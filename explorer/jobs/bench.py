"""One model in one process, for a shell with a single user: every run, the newest first.

The work is done in a thread, so that whoever asks isn't kept waiting. A setting that is asked for
while another is being made takes its place: the older one stops at its next check.
"""

import atexit
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from explorer import pipeline
from explorer.errors import ExplorerError, JobError
from explorer.events import Counted, Event, Finding, Hosted, Planned
from explorer.jobs.context import Cancelled
from explorer.jobs.kept import Kept
from explorer.jobs.tasks import preview_counts
from explorer.measure.host import describe_host
from explorer.model import Model
from explorer.pipeline import Here, Opened
from explorer.preview.forecast import NO_FORECASTS, survey_base
from explorer.preview.parts import Counts, known
from explorer.recipe import Recipe
from explorer.render.text import WENT_BACK
from explorer.runs import Original, Run, View

MISTAKE = "The explorer made a mistake; the error output has its traceback."


@dataclass(frozen=True)
class _Round:
    """Work for one request, a `pipeline.Watch`: it stops where a newer one has come."""

    is_over: Callable[[], bool]
    tell: Callable[[float, str], None]

    def progress(self, fraction: float, text: str) -> None:
        self.tell(fraction, text)

    def check(self) -> None:
        if self.is_over():
            raise Cancelled


class Bench:
    """See the module; `notice` is the one sentence to show where something went wrong.

    `changed` is called after every change, with the lock held, in the thread that made it.
    """

    def __init__(self, opened: Opened, recipe: Recipe, changed: Callable[[], None]) -> None:
        # Caches of models aren't made for two threads, so the work has one of its own.
        self._opened = replace(opened, model=_fresh(opened.model))
        self.lock = threading.RLock()
        self.recipe = recipe
        self.notice: str | None = None
        self.progress: tuple[float, str] | None = None
        self.original = Original()
        self._changed = changed
        self._moved = threading.Condition(self.lock)
        self._thread: threading.Thread | None = None
        self._last_thread: threading.Thread | None = None  # which may be about to stop
        self._round = 0  # of requests; work for an older one stops
        self._due = self._original_due = True
        self._owed: ExplorerError | None = None  # to the code that asked for what failed
        self._is_owed = False
        self._running: Run | None = Run(recipe)
        self._shown: Run | None = None
        self._kept = Kept()
        _benches.add(self)
        self._surveys: dict[Recipe, dict[str, Finding]] = {}  # by what they depend on, and key
        self._surveyed: set[Recipe] = set()  # those that are complete, or failed

    @property
    def busy(self) -> bool:
        """True while a setting is being made, or the original measured."""
        return self._thread is not None and (self._due or self._original_due)

    @property
    def survey(self) -> tuple[Finding, ...]:
        """What predictions are made from, as far as it is known."""
        return tuple(self._surveys.get(survey_base(self.recipe), {}).values())

    @property
    def view(self) -> View:
        """What to show now."""
        return View(self.original, self._running or self._shown)

    @property
    def tried(self) -> tuple[Run, ...]:
        """Every setting with measured quality, oldest first."""
        runs = dict(self._kept.runs)
        if self._running is not None and self._running.quality is not None:
            runs[self._running.recipe.to_json()] = self._running
        return tuple(runs.values())

    @property
    def counts(self) -> Counts | None:
        """What the panel counts with, as far as it is known for the recipe that is asked for."""
        return self._kept.counts(self.recipe)

    def ask(self, recipe: Recipe, answers: bool = False) -> None:
        """Have a setting made; `answers` says that `made` is to raise what goes wrong with it.

        Unless it does, whoever asks shows an estimate of its own until there is one.
        """
        with self.lock:
            if recipe == self.recipe and self.notice is None:
                self._is_owed |= answers
                self._tell()
                return
            self._kept.keep_measured(self._running)
            self._round += 1
            self.recipe, self.notice = recipe, None
            self._owed, self._is_owed = None, answers
            recalled = self._kept.recall(recipe)
            self._due, self._shown = recalled is None, recalled or self._shown
            self._running = Run(recipe) if self._due else None
            self._start()
            if answers or not self._due:
                self._tell()

    def start(self) -> None:
        """Begin with the first setting."""
        with self.lock:
            self._start()
            self._tell()

    def close(self) -> None:
        """Drop all work."""
        with self.lock:
            self._round += 1
            self._due = self._original_due = False
            self._thread = None
            self._moved.notify_all()

    def made(self, timeout_s: float | None = None) -> tuple[Run, Model]:
        """The newest setting once it is made and measured, and its model.

        Raises:
            ExplorerError: it can't be made, or nothing could be so far.
            TimeoutError: it takes longer.
        """
        with self.lock:
            self._wait(lambda: not self._due and self._running is None, timeout_s)
            owed, self._owed = self._owed, None
            if owed is not None:
                raise owed
            if self._shown is None:
                raise JobError(self.notice or "No model was compressed; the explorer is closed.")
            model = self._kept.model(self._shown)
            assert model is not None  # what is shown was made or recalled
            return self._shown, model

    def measured_original(self, timeout_s: float | None = None) -> Original:
        """The original once it is measured, which comes after the newest setting.

        Raises:
            ExplorerError: it can't be measured.
            TimeoutError: it takes longer.
        """
        with self.lock:
            self._wait(lambda: not self._original_due, timeout_s)
            if self.original.description is None:
                raise JobError(self.notice or "Nothing was measured; the explorer is closed.")
            return self.original

    def _wait(self, for_: Callable[[], bool], timeout_s: float | None) -> None:
        if not self._moved.wait_for(lambda: for_() or self._thread is None, timeout_s):
            raise TimeoutError(f"The explorer is still at work after {timeout_s} seconds.")

    def _start(self) -> None:
        if self._thread is None and (self._due or self._original_due or self._survey_due):
            self._thread = self._last_thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    @property
    def _survey_due(self) -> bool:
        """Predictions are prepared for once a setting could be made."""
        return self._shown is not None and survey_base(self.recipe) not in self._surveyed

    def _tell(self) -> None:
        self._changed()
        self._moved.notify_all()

    def _work(self) -> None:
        """In the thread: the newest setting, what is missing of the original, then the survey."""
        while True:
            with self.lock:
                is_closed = threading.current_thread() is not self._thread
                work = None if is_closed else self._next_work()
                if work is None:
                    self._end_thread()
                    return
                round_ = self._round
            try:
                work(round_)
            except Cancelled:
                continue
            except ExplorerError as error:
                self._fail(round_, error)
            except BaseException:
                self._fail(round_, JobError(MISTAKE))
                self._end_thread()
                raise

    def _next_work(self) -> Callable[[int], None] | None:
        if self._due:
            return partial(self._make, recipe=self.recipe)
        if self._original_due:
            return self._measure_original
        return partial(self._survey, recipe=self.recipe) if self._survey_due else None

    def _end_thread(self) -> None:
        with self.lock:
            if threading.current_thread() is self._thread:
                self._thread, self.progress = None, None
                self._start()  # what was asked for meanwhile
                self._tell()

    def _watch(self, round_: int, is_quiet: bool = False) -> _Round:
        def tell(fraction: float, text: str) -> None:
            with self.lock:
                if round_ == self._round and not is_quiet:
                    self.progress = fraction, text
                    self._tell()

        return _Round(lambda: round_ != self._round, tell)

    def _consume(self, round_: int, events: Iterable[Event], take: Callable[[Event], None]) -> None:
        """Take in what comes, as long as it is wanted."""
        for event in events:
            with self.lock:
                if round_ != self._round:
                    raise Cancelled
                take(event)
                if not isinstance(event, Planned):  # the estimate comes at once
                    self._tell()

    def _make(self, round_: int, recipe: Recipe) -> None:
        watch, opened, place = self._watch(round_), self._opened, Here()
        self._introduce(round_)
        counted = None if self.counts is None else sorted(known(self.counts))
        preview = partial(preview_counts, opened.model, recipe, counted)
        events = pipeline.run(opened, recipe, place, watch, preview=preview)
        self._consume(round_, events, partial(self._take, recipe))
        with self.lock:
            watch.check()
            assert self._running is not None
            assert place.model is not None
            self._shown = replace(self._running, complete=True)
            self._running, self._due = None, False
            self._kept.keep(self._shown, _fresh(place.model))
            self._tell()

    def _introduce(self, round_: int) -> None:
        if self.original.description is None:
            events = (Hosted(describe_host()), *pipeline.introduce(self._opened))
            self._consume(round_, events, self._take_original)

    def _measure_original(self, round_: int) -> None:
        self._introduce(round_)
        watch = self._watch(round_)
        events = pipeline.measure_original(self._opened, Here(), watch)
        self._consume(round_, events, self._take_original)
        with self.lock:
            watch.check()
            self._original_due = False

    def _survey(self, round_: int, recipe: Recipe) -> None:
        """Without a word on its progress: nobody has asked for it."""
        base = survey_base(recipe)
        found = self._surveys.setdefault(base, {})

        def take(event: Event) -> None:
            if isinstance(event, Finding):
                found[event.key] = event

        watch = self._watch(round_, is_quiet=True)
        self.progress = None
        self._surveyed.add(base)  # what fails isn't tried again
        try:
            opened = pipeline.on_first_samples(self._opened)
            events = pipeline.survey(opened, base, Here(), watch, tuple(found))
            self._consume(round_, events, take)
        except Cancelled:
            self._surveyed.discard(base)
            raise
        except ExplorerError as error:
            self._say(round_, f"{error} {NO_FORECASTS}")
        except BaseException:
            self._say(round_, f"{MISTAKE} {NO_FORECASTS}")
            self._end_thread()
            raise

    def _say(self, round_: int, notice: str) -> None:
        with self.lock:
            if round_ == self._round:
                self.notice = notice
                self._tell()

    def _take(self, recipe: Recipe, event: Event) -> None:
        if isinstance(event, Counted):
            self._kept.keep_counts(recipe, event.counts)
            return
        assert self._running is not None
        self._running = self._running.after([event])

    def _take_original(self, event: Event) -> None:
        self.original = self.original.after([event])

    def _fail(self, round_: int, error: ExplorerError) -> None:
        """Say it; the setting goes back to one that could be made."""
        with self.lock:
            if round_ != self._round:
                return
            self._original_due &= self._due  # isn't tried again, where it was that
            self._running, self._due, self.notice = None, False, str(error)
            self._owed = error if self._is_owed else None
            if self._shown is not None and self._shown.recipe != self.recipe:
                self.recipe, self.notice = self._shown.recipe, f"{error} {WENT_BACK}"
            self._tell()


_benches: "weakref.WeakSet[Bench]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Threads that are inside of the runtime when Python ends would take the process down."""
    for bench in list(_benches):
        bench.close()
        if bench._last_thread is not None:
            bench._last_thread.join()


def _fresh(model: Model) -> Model:
    """The same model without what it remembers."""
    return model.with_changes()
