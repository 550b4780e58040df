"""What is known of the original and of a run is what events say, and nothing else."""

from dataclasses import replace

import pytest
from values import ARTIFACT, DESCRIPTION, EVENTS, LATENCY, PLAN, PROFILE, QUALITY, RECIPE

from explorer.events import Answered, Encoded, Hosted, Profiled, Relabelled, Scored, Timed
from explorer.report import Report
from explorer.runs import Original, Run, View

BETTER = replace(QUALITY, value=0.8)


def test_a_run_knows_what_events_say() -> None:
    assert Run(RECIPE).after([*EVENTS, Scored(BETTER)]) == Run(
        recipe=RECIPE,
        plan=PLAN,
        estimate=PROFILE,
        artifact=ARTIFACT,
        profile=PROFILE,
        latency=LATENCY,
        quick_quality=QUALITY,
        first_quality=QUALITY,
        quality=BETTER,
        unreconstructed=QUALITY,
    )


def test_the_original_knows_what_events_say() -> None:
    (host,) = [event.host for event in EVENTS if isinstance(event, Hosted)]
    (found, *_) = [event.relabelling for event in EVENTS if isinstance(event, Relabelled)]
    events = [event for event in EVENTS if event not in (Relabelled(None), Answered(None))]
    assert Original().after([*events, Scored(BETTER)]) == Original(
        host=host,
        description=DESCRIPTION,
        profile=PROFILE,
        latency=LATENCY,
        first_quality=QUALITY,
        quality=BETTER,
        relabelling=found,
        answers=3,
    )


@pytest.mark.parametrize("known", [Original(), Run(RECIPE)], ids=["original", "run"])
def test_what_was_heard_twice_is_known_once_and_the_last_word_counts(known: Original | Run) -> None:
    once = known.after(EVENTS)
    assert once.after(EVENTS) == once
    surer = replace(LATENCY, ratio_low=0.49)
    assert once.after([Timed(surer)]) == replace(once, latency=surer)


def test_a_report_needs_no_more_than_a_file_and_its_counts() -> None:
    run = Run(RECIPE).after([Encoded(ARTIFACT), Profiled(PROFILE)])
    assert run.report() == Report("def", "net small", PROFILE)
    assert Run(RECIPE).after(EVENTS).report() == Report("def", "net small", PROFILE, LATENCY)
    original = Original(description=DESCRIPTION, profile=PROFILE, quality=QUALITY)
    assert original.report() == Report("abc", "net", PROFILE, quality=QUALITY)
    assert original.report("my net").name == "my net"


@pytest.mark.parametrize(
    ("original", "is_complete"),
    [
        (Original(), False),
        (Original(latency=LATENCY), True),
        (Original(description=DESCRIPTION, latency=LATENCY), False),
        (Original(description=replace(DESCRIPTION, samples=0), latency=LATENCY), True),
        (Original(description=DESCRIPTION, latency=LATENCY, quality=QUALITY), True),
        (Original(description=DESCRIPTION, quality=QUALITY), False),
    ],
)
def test_the_original_is_complete_once_it_is_timed_and_scored(
    original: Original, is_complete: bool
) -> None:
    assert original.is_complete is is_complete


def test_a_view_shows_an_estimate_until_the_number_is_there() -> None:
    run, counted = Run(RECIPE, estimate=PROFILE), replace(PROFILE, params=29)
    assert (View().profile, View().is_estimated) == (None, False)
    assert (View(run=run).profile, View(run=run).is_estimated) == (PROFILE, True)
    made = View(run=replace(run, profile=counted))
    assert (made.profile, made.is_estimated) == (counted, False)
    first = View(run=replace(run, first_quality=QUALITY))
    assert (first.quality, first.is_on_first) == (QUALITY, True)
    quick = View(run=replace(run, quick_quality=QUALITY))
    assert (quick.quality, quick.quick_quality) == (None, QUALITY)
    refined = View(run=replace(run, quick_quality=QUALITY, first_quality=BETTER))
    assert (refined.quality, refined.quick_quality) == (BETTER, None)
    scored = View(run=replace(run, first_quality=QUALITY, quality=BETTER))
    assert (scored.quality, scored.is_on_first) == (BETTER, False)


@pytest.mark.parametrize(
    ("changes", "awaits"),
    [
        ({}, True),
        ({"quality": None}, False),
        ({"unreconstructed": QUALITY}, False),
        ({"complete": True}, False),
        ({"artifact": None}, False),
        ({"artifact": replace(ARTIFACT, not_reconstructed="it is switched off")}, False),
    ],
)
def test_the_quality_without_reconstruction_comes_where_there_was_any(
    changes: dict[str, object], awaits: bool
) -> None:
    run = Run(RECIPE, artifact=ARTIFACT, quality=QUALITY)
    assert View(run=replace(run, **changes)).awaits_unreconstructed is awaits  # type: ignore[arg-type]
