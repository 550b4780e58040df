"""Which runs stand on the Pareto front, and how every chart draws it."""

import random

import pytest
from exported import outcome

from explorer.exports.figures import tradeoff
from explorer.exports.outcome import Point
from explorer.fronts import Estimate, front_line, pareto_front, unbeaten


def run(
    cost: float, quality: float, noise: float = 0.0, jitter: float = 0.0
) -> tuple[Estimate, Estimate]:
    return (
        Estimate(cost, cost - jitter, cost + jitter),
        Estimate(quality, quality - noise, quality + noise),
    )


def test_the_front_holds_what_nothing_beats() -> None:
    points = [(4, 0.9), (1, 0.5), (2, 0.4), (3, 0.9), (5, 0.95)]
    assert pareto_front(points) == [(1, 0.5), (3, 0.9), (5, 0.95)]
    falling = [(1, 5), (2, 3), (3, 4), (2.5, 6)]
    assert pareto_front(falling, falls=True) == [(1, 5), (2, 3)]


@pytest.mark.parametrize(
    ("better", "worse", "is_beaten"),
    [
        (run(1, 0.92, 0.005), run(2, 0.90, 0.005), True),
        (run(1, 0.92, 0.015), run(2, 0.90, 0.015), False),  # the intervals overlap
        (run(2, 0.92, 0.005), run(1, 0.90, 0.005), False),  # it costs more
        (run(1, 0.90, 0.02), run(2, 0.90, 0.02), True),  # the same for less
        (run(1, 0.90, 0.02, 0.1), run(1.15, 0.90, 0.02, 0.1), False),  # if it is less at all
        (run(1, 0.92, 0.005, 0.5), run(1, 0.90, 0.005, 0.5), True),
    ],
)
def test_a_run_is_beaten_only_by_one_that_is_better_beyond_noise(
    better: tuple[Estimate, Estimate], worse: tuple[Estimate, Estimate], is_beaten: bool
) -> None:
    assert unbeaten([worse, better]) == [not is_beaten, True]
    turned = [
        (cost, Estimate(-quality.value, -quality.high, -quality.low))
        for cost, quality in (worse, better)
    ]
    assert unbeaten(turned, falls=True) == [not is_beaten, True]


@pytest.mark.parametrize("falls", [False, True])
def test_the_line_is_the_edge_of_what_is_not_beaten(falls: bool) -> None:
    """And without noise these are the same, ties apart."""
    rng = random.Random(0)
    for _ in range(100):
        points = [(rng.randrange(20), rng.randrange(20)) for _ in range(12)]
        front = set(pareto_front(points, falls))
        for noise in (0.0, 1.5):
            kept = unbeaten([run(*point, noise) for point in points], falls)
            unbeaten_points = {p for p, is_kept in zip(points, kept, strict=True) if is_kept}
            assert front <= unbeaten_points
            assert noise or front == unbeaten_points


def test_the_line_reaches_the_end_of_the_axis() -> None:
    assert front_line([(1, 0.5), (3, 0.9), (2, 0.4)], 3.18) == [(1, 0.5), (3, 0.9), (3.18, 0.9)]
    assert front_line([], 1) == []
    points = tuple(
        Point(f"{at}", {"macs": at}, quality, None, None, "")
        for at, quality in ((1, 0.5), (2, 0.9))
    )
    drawn = tradeoff(outcome(points=points), "macs")
    assert drawn is not None
    assert "H348V" in drawn  # 360 pixels less the margin
