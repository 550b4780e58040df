"""What a running task can say and ask: results, progress, and whether to stop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.events import Event, to_json

if TYPE_CHECKING:  # it loads the runtime
    from explorer.jobs.open_models import OpenModels


class Cancelled(Exception):  # noqa: N818 - a request that was heard, not an error
    """The job isn't wanted any more."""


@dataclass(frozen=True)
class Context:
    """The link from a task to the page that waits for it: a `pipeline.Watch`.

    `models` are those that its process has open. `is_confined` says that this process can't do
    harm, and that others beside it do what is handed over; in a notebook neither is so.
    """

    emit: Callable[..., None]
    is_cancelled: Callable[[], bool]
    models: "OpenModels"
    is_confined: bool = True

    def send(self, event: Event) -> None:
        """Send a result, and stop here if the job isn't wanted any more."""
        self.emit("result", value=to_json(event))
        self.check()

    def send_all(self, events: Iterable[Event]) -> None:
        """Send results as they come, and stop as `send` does."""
        for event in events:
            self.send(event)

    def progress(self, fraction: float, text: str) -> None:
        """Say how far the work is."""
        self.emit("progress", fraction=fraction, text=text)

    def hand_over(self, task: str, **arguments: Any) -> None:
        """Have another task done as a part of this job, in its own process, while this goes on."""
        self.emit("hand_over", task=task, arguments=arguments)

    def check(self) -> None:
        """Stop here if the job isn't wanted any more.

        Raises:
            Cancelled: it isn't.
        """
        if self.is_cancelled():
            raise Cancelled
