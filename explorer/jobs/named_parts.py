"""Results of a run or of the original as named parts, for those who keep them by name."""

from dataclasses import asdict
from typing import Any

from explorer.events import (
    Answered,
    Counted,
    Described,
    Encoded,
    Estimated,
    Event,
    Hosted,
    Planned,
    Profiled,
    Relabelled,
    Scored,
    ScoredWithoutReconstruction,
    Timed,
)

NAMES = {
    Answered: "answers",
    Counted: "counts",
    Described: "model",
    Encoded: "file",
    Estimated: "estimate",
    Hosted: "host",
    Planned: "plan",
    Profiled: "profile",
    Relabelled: "relabelling",
    ScoredWithoutReconstruction: "naive_quality",
    Timed: "latency",
}


def parts_of(event: Event) -> dict[str, Any]:
    """The parts that an event brings, as JSON by name; none of another kind of work."""
    if isinstance(event, Scored):
        return {"first_quality" if event.on_first else "quality": asdict(event.quality)}
    if type(event) not in NAMES:
        return {}
    (value,) = asdict(event).values()
    return {NAMES[type(event)]: value}
