"""Events as named parts, for those who keep results by name."""

from dataclasses import asdict
from typing import Any

from explorer.events import (
    Answered,
    Bought,
    Compared,
    Counted,
    DataRead,
    Described,
    Encoded,
    Estimated,
    Event,
    Hosted,
    LimitsMeasured,
    ModelRead,
    NodesTimed,
    Noted,
    Planned,
    Probed,
    ProbesCounted,
    Profiled,
    Relabelled,
    Scored,
    ScoredWithoutReconstruction,
    Surveyed,
    SurveyTimed,
    Timed,
    WeightsCompared,
)

NAMES = {
    Answered: "answers",
    Bought: "spent",
    Counted: "counts",
    Described: "model",
    Encoded: "file",
    Estimated: "estimate",
    Hosted: "host",
    LimitsMeasured: "limits",
    NodesTimed: "nodes",
    Noted: "notes",
    Planned: "plan",
    ProbesCounted: "probes",
    Profiled: "profile",
    Relabelled: "relabelling",
    ScoredWithoutReconstruction: "naive_quality",
    Timed: "latency",
    WeightsCompared: "weights",
}


def parts_of(event: Event) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind
    """The parts that an event brings, as JSON by name."""
    match event:
        case ModelRead():
            return {"model": asdict(event)}
        case DataRead():
            return {"data": asdict(event)}
        case Compared():
            return {"changes": event.changes, "pictures": list(event.pictures)}
        case Scored():
            return {"first_quality" if event.on_first else "quality": asdict(event.quality)}
        case Probed():
            return {f"sensitivity:{event.key}": event.sensitivity.to_dict()}
        case Surveyed():
            values = asdict(event)
            return {f"survey:{values.pop('name')}": values}
        case SurveyTimed():
            return {f"survey:{event.key}": asdict(event.latency)}
        case _:
            (value,) = asdict(event).values()
            return {NAMES[type(event)]: value}
