"""What a page asks of the open model beyond its numbers: asked as it is drawn, answered in time.

A question is a job like others, which the settings of the page push aside; the
page asks again each time it is drawn, so that only what is on the screen is found out.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.errors import ExplorerError
from explorer.events import Event
from explorer.jobs import Job, Pool, State
from explorer.workspace.sources import Source

MOST_KEPT = 64


@dataclass(frozen=True)
class Question:
    """A task of `explorer.jobs.tasks` with its arguments, for one source."""

    source: Source
    task: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """The results, or the sentence that says why there are none."""

    events: tuple[Event, ...]
    error: str | None = None


class Questions:
    """One visitor's questions, and the answers to the latest of them."""

    def __init__(self, pool: Pool, session: str) -> None:
        self._pool = pool
        self._session = session
        self._answers: OrderedDict[Question, Answer] = OrderedDict()
        self._open: dict[Question, None] = {}
        self._asking: dict[Question, None] = {}  # by the page that is being drawn
        self._settled = 0
        self._asked: tuple[Question, Job] | None = None

    @property
    def running(self) -> bool:
        """True while answers are awaited."""
        return bool(self._open)

    @property
    def job(self) -> Job | None:
        """The one that goes on."""
        return self._asked[1] if self._asked is not None else None

    @property
    def known(self) -> int:
        """Changes whenever there is an answer more."""
        return self._settled

    def ask(self, source: Source, task: str, arguments: Mapping[str, Any]) -> Answer | None:
        """The answer; None while it is not known."""
        question = Question(source, task, json.dumps(arguments, sort_keys=True))
        if question in self._answers:
            self._answers.move_to_end(question)
            return self._answers[question]
        self._asking[question] = None
        return None

    def begin(self) -> None:
        """Before a page is drawn, and asks."""
        self._asking = {}

    def end(self) -> None:
        """Behind that: what it hasn't asked again is let go of."""
        self._open = self._asking

    def stop(self) -> None:
        """End the work."""
        self._open = {}
        self.make_way()

    def make_way(self) -> None:
        """Let another job go first; the question stays open."""
        if self._asked is not None:
            self._pool.cancel(self._asked[1])

    def advance(self, free: bool) -> None:
        """Take in what has come, and where the session is `free` go on with the next question."""
        if self._asked is not None:
            question, job = self._asked
            if not job.ended:
                if question not in self._open:
                    self._pool.cancel(job)
                return
            self._asked = None
            if job.state in (State.DONE, State.FAILED):
                self._settle(question, Answer(job.events, job.error))
        if free and self._open:
            self._submit(next(iter(self._open)))

    def _submit(self, question: Question) -> None:
        source, arguments = question.source, json.loads(question.arguments)
        try:
            job = self._pool.submit(self._session, source.domain, question.task, arguments)
        except ExplorerError as error:
            self._settle(question, Answer((), str(error)))
            return
        self._asked = (question, job)

    def _settle(self, question: Question, answer: Answer) -> None:
        self._open.pop(question, None)
        self._settled += 1
        self._answers[question] = answer
        while len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
