"""What a page asks of the open model beyond its numbers: asked as it is drawn, answered later.

The page asks again each time it is drawn, so that only what is on the screen is found out.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.events import Event, newest
from explorer.jobs import Job, State
from explorer.jobs.processes import BROKEN
from explorer.workspace.runner import Request, Work
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


class Questions(Work):
    """One visitor's questions, and the answers to the latest of them."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Question, Answer] = OrderedDict()
        self._open: dict[Question, None] = {}
        self._asking: dict[Question, None] = {}  # by the page that is being drawn
        self._settled = 0

    @property
    def running(self) -> bool:
        """True while answers are awaited."""
        return bool(self._open)

    @property
    def known(self) -> int:
        """Changes whenever there is an answer more."""
        return self._settled

    def ask(
        self, source: Source, task: str, arguments: Mapping[str, Any], *needed: type[Event]
    ) -> Answer | None:
        """The answer, with events of the kinds that are needed; None while it is not known."""
        question = Question(source, task, json.dumps(arguments, sort_keys=True))
        if question not in self._answers:
            self._asking[question] = None
            return None
        self._answers.move_to_end(question)
        answer = self._answers[question]
        is_whole = all(newest(answer.events, kind) is not None for kind in needed)
        return answer if is_whole or answer.error is not None else Answer((), BROKEN)

    def begin(self) -> None:
        """Call before a page is drawn, which then asks."""
        self._asking = {}

    def end_asking(self) -> None:
        """Call after it is drawn: questions that it didn't ask again are dropped."""
        self._open = self._asking

    def request(self) -> Request | None:
        """The first question that is open."""
        question = next(iter(self._open), None)
        if question is None:
            return None
        arguments = question.arguments
        return Request(
            question.task, question.source.domain, question, lambda: dict(json.loads(arguments))
        )

    def end(self, key: Question, job: Job) -> str | None:
        """Keep the answer, or the error in its place."""
        if job.state in (State.DONE, State.FAILED):
            self._settle(key, Answer(job.events, job.error))
        return None

    def halt(self, error: str) -> None:
        """Keep the error as the answer."""
        self._settle(next(iter(self._open)), Answer((), error))

    def _settle(self, question: Question, answer: Answer) -> None:
        self._open.pop(question, None)
        self._settled += 1
        self._answers[question] = answer
        while len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
