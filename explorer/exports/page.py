"""A report as one HTML file: no script, no server, nothing from anywhere else."""

import json
from collections.abc import Iterator

from explorer.exports import figures
from explorer.exports.card import MADE_UP, quality_sentence
from explorer.exports.outcome import COSTS, Outcome
from explorer.render.labels import NUMBERS, RECIPE
from explorer.render.templating import render
from explorer.render.text import uncounted_sentence

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
QUIET = "Nothing about these numbers is unexpected."


def page(outcome: Outcome) -> str:
    """The report; it prints, fits a phone, and follows the reader's light or dark."""
    layers = outcome.plan.layers
    drawn = [(figures.COST_TITLES[cost], figures.tradeoff(outcome, cost)) for cost in COSTS]
    report = render(
        "report.html.jinja",
        outcome=outcome,
        policy=POLICY,
        quiet=QUIET,
        charts=[(title, chart) for title, chart in drawn if chart is not None],
        cost_titles=[NUMBERS[key] for key in ("file_bytes", "macs", "latency_ratio")],
        strip=figures.strip(layers) if layers else None,
        legend=figures.legend(layers) if layers else None,
        notes=tuple(_notes(outcome)),
        recipe=json.dumps(json.loads(outcome.recipe.to_json()), indent=2),
        bar_width=_bar_width,
        costs_text=figures.costs_text,
        level=figures.level,
    )
    return str(report)  # `Markup` would escape what is added to it


def _bar_width(share: float) -> str:
    """How much of a whole, in percent; more than the whole fills it."""
    return f"{100 * min(1.0, max(0.0, share)):.1f}"


def _notes(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What is said of each number; empty where there is nothing to say."""
    quality, reason = outcome.compressed.quality, outcome.not_reconstructed
    for number in outcome.numbers:
        yield number.title, number.meaning
    yield "Clock", outcome.clock
    yield "Samples", MADE_UP if outcome.is_made_up else ""
    yield "Score", quality_sentence(quality) if quality else ""
    yield RECIPE["compensate"], f"Off: {reason}." if reason else ""
    yield "MACs", uncounted_sentence(outcome.compressed.profile.uncounted_ops)
