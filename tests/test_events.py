"""Events go through processes as JSON and come out as the same values, or not at all."""

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import EVENTS, LATENCY, QUALITY

from explorer.events import Event, Scored, Timed, from_json, newest, to_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_there_is_an_example_of_each_kind() -> None:
    assert {type(event) for event in EVENTS} == set(Event.__args__)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_is_sent_is_what_arrives(event: Event) -> None:
    arrived = from_json(json.loads(json.dumps(to_json(event), allow_nan=False)))
    assert arrived == event
    assert type(arrived) is type(event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@given(value=JSON, chance=st.integers(0, 9))
def test_what_a_process_makes_of_it_is_an_event_or_refused(
    event: Event, value: Any, chance: int
) -> None:
    """Of the right types, whatever stands in a field: it is drawn, sorted and added up later."""
    names = [field.name for field in fields(event)]
    sent = to_json(event) | {names[chance % len(names)]: value}
    try:
        arrived = from_json(sent)
    except ValueError:
        return
    assert from_json(json.loads(json.dumps(to_json(arrived), allow_nan=False))) == arrived


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"event": "Exploded"},
        {"event": ["Noted"]},
        {"event": "Noted"},
        {"event": "Noted", "notes": 3},
        {"event": "Noted", "notes": [], "more": 1},
        {"event": "Planned", "plan": {"layers": []}},
        {"event": "Planned", "plan": to_json(EVENTS[3])["plan"] | {"recipe": {"ratio": 2}}},
        {"event": "Timed", "latency": {"ratio": "fast"}},
        {"event": "ProbesCounted", "count": "3"},
        {"event": "ProbesCounted", "count": True},
        {"event": "LimitsMeasured", "limits": {"macs_per_s": math.inf}},
    ],
    ids=lambda sent: str(sent)[:40],
)
def test_what_is_no_event_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="This is no "):
        from_json(sent)


def test_the_newest_of_a_kind_counts() -> None:
    first, second = Scored(QUALITY, on_first=True), Scored(QUALITY)
    assert newest((first, Timed(LATENCY), second), Scored) is second
    assert newest((first,), Timed) is None
