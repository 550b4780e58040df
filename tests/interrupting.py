"""A visit with a pool that does nothing by itself: a test says what comes of each job."""

import threading
from pathlib import Path
from typing import Any

from explorer.events import Described
from explorer.jobs import Domain, Job, State
from explorer.workspace.folders import Storage
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace


class Interrupting:
    """A pool; `meanwhile` is done by another thread while the next job is being submitted."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, dict[str, Any]]] = []
        self.meanwhile: Any = None

    def submit(self, session: str, domain: Domain, task: str, arguments: dict[str, Any]) -> Job:
        job = Job(session, domain)
        for older, _ in self.jobs:
            older.end(State.CANCELLED)
        self.jobs.append((job, arguments))
        if self.meanwhile is not None:
            other, self.meanwhile = threading.Thread(target=self.meanwhile), None
            other.start()
            other.join(0.2)  # it must wait, or it would come between
        return job

    def cancel(self, job: Job) -> None:
        job.end(State.CANCELLED)

    def forget(self, domain: Domain) -> None:
        pass

    def close(self) -> None:
        pass


def visit_to(pool: Interrupting, place: Path, opened: Described) -> Workspace:
    folder = Storage(place).folder()
    visit = Workspace(pool, folder)
    model = Source(key="m", title="M", domain=folder.domain, model=place / "m.onnx")
    visit.open(model)
    pool.jobs[-1][0].events = (opened,)
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    return visit
