"""What the estimator in the browser covers, and what the panel says of all else."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from browser import find_chromium
from playwright.sync_api import Browser, Page, sync_playwright
from test_app import LATENCY, PROFILE, QUALITY
from test_forecast import survey
from test_widget import moved, run_node, sample, settings

from explorer import LayerChoice, Recipe
from explorer.events import Surveyed
from explorer.jobs.tasks import preview_counts
from explorer.preview import coverage
from explorer.preview.counts import counts
from explorer.preview.coverage import COVERAGE, EVERY, Coverage, covers
from explorer.preview.forecast import surveyed
from explorer.recipe import (
    ACTIVATION_BITS,
    CRITERIA,
    GRANULARITIES,
    INT8_RANGES,
    PATTERNS,
    RATIO_PATTERNS,
    SCOPES,
    WEIGHT_BITS,
)
from explorer.render.cards import cards, numbers
from explorer.render.labels import PATTERNS as PATTERN_LABELS
from explorer.render.labels import PRECISIONS
from explorer.runs import Original, Run, View
from explorer.widget.bundle import SCRIPTS, bundle
from explorer.widget.panel_words import PANEL
from explorer.widget.tradeoff import tried

CHOICES: dict[str, tuple[Any, ...]] = {  # of each field that has some
    "pattern": PATTERNS,
    "scope": SCOPES,
    "weight_bits": WEIGHT_BITS,
    "activation_bits": ACTIVATION_BITS,
    "bits_scope": SCOPES,
    "criterion": CRITERIA,
    "int8_range": INT8_RANGES,
    "granularity": GRANULARITIES,
    **dict.fromkeys(("widths", "compensate", "keep_metadata", "short_names"), (False, True)),
}
EXCLUDED: Coverage = {}  # values by field that a recipe takes and that are left to Python
START = Recipe(pattern="channel", ratio=0.3)


def without(field: str, value: Any) -> Coverage:
    """What is covered, less one value."""
    return {**COVERAGE, field: tuple(each for each in COVERAGE[field] if each != value)}


def test_every_field_of_a_recipe_is_listed() -> None:
    assert {field.name for field in fields(Recipe)} == COVERAGE.keys()
    assert {field.name for field in fields(LayerChoice)} == COVERAGE["layers"].keys()


@pytest.mark.parametrize("name", [*CHOICES, *EXCLUDED])
def test_every_value_is_covered_or_excluded(name: str) -> None:
    covered, excluded = set(COVERAGE[name]), set(EXCLUDED.get(name, ()))
    assert covered | excluded == set(CHOICES[name])
    assert not covered & excluded


def test_every_choice_for_a_layer_is_covered_or_excluded() -> None:
    excluded = set(EXCLUDED.get("weight_bits", ()))
    assert set(COVERAGE["layers"]["weight_bits"]) | excluded == {None, *WEIGHT_BITS}


def test_a_field_with_choices_lists_them() -> None:
    listed = {name for name, values in COVERAGE.items() if values != EVERY}
    assert listed == {*CHOICES, "layers"}


def recipes() -> list[Recipe]:
    rng = random.Random(0)
    return [Recipe(**settings(rng), **moved(rng, ["a", "b", "c"])) for _ in range(300)]


def test_all_of_today_is_covered() -> None:
    every = recipes()
    assert all(map(covers, every))
    assert all(run_node("covered.mjs", {"coverage": COVERAGE, "recipes": [*map(asdict, every)]}))


@pytest.mark.parametrize("name", CHOICES)
def test_a_value_less_is_left_out_in_both_languages(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    every = recipes()
    for value in CHOICES[name]:
        monkeypatch.setattr(coverage, "COVERAGE", without(name, value))
        expected = [getattr(recipe, name) != value for recipe in every]
        assert [*map(covers, every)] == expected
        told = {"coverage": coverage.COVERAGE, "recipes": [*map(asdict, every)]}
        assert run_node("covered.mjs", told) == expected


def test_an_unknown_field_is_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: values for name, values in COVERAGE.items() if name != "seed"}
    monkeypatch.setattr(coverage, "COVERAGE", fewer)
    assert not covers(Recipe())
    assert run_node("covered.mjs", {"coverage": fewer, "recipes": [asdict(Recipe())]}) == [False]


def test_a_choice_for_a_layer_counts_too() -> None:
    narrow = {**COVERAGE, "layers": {**COVERAGE["layers"], "weight_bits": (None, 8)}}
    asked = [Recipe(layers=(LayerChoice("a", 0.5, bits),)) for bits in (None, 8, 4)]
    told = {"coverage": narrow, "recipes": [*map(asdict, asked)]}
    assert run_node("covered.mjs", told) == [True, True, False]


def test_nothing_is_sent_to_estimate_with_where_it_is_not_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, calibration = sample("vowels_cnn")
    findings = [Surveyed(pattern, Recipe(pattern=pattern)) for pattern in ("2:4", "4:8")]
    assert len([*preview_counts(model, Recipe(pattern="2:4"), None, calibration)]) == 1
    assert len(surveyed(findings, "basis")["points"]) == 2
    monkeypatch.setattr(coverage, "COVERAGE", without("pattern", "2:4"))
    assert not [*preview_counts(model, Recipe(pattern="2:4"), None, calibration)]
    assert [point["recipe"]["pattern"] for point in surveyed(findings, "basis")["points"]] == [
        "4:8"
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            args=["--no-sandbox"], executable_path=find_chromium()
        )
        yield launched
        launched.close()


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page with the panel's script; nothing may fail there."""
    errors = list[str]()
    page = browser.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content("<main></main>")
    script = bundle(SCRIPTS / "streamlit.js") + "\nObject.assign(window, { mount, keep });"
    page.add_script_tag(content=script, type="module")
    page.wait_for_function("() => window.mount")
    yield page
    page.close()
    assert errors == []


def show(
    page: Page,
    recipe: Recipe,
    covered: Coverage,
    seen: int = 0,
    opened: str | None = "a",
    words: Mapping[str, object] = PANEL,
) -> None:
    """Have the panel show measured numbers of a recipe."""
    model, calibration = sample("vowels_cnn")
    original = Original(profile=PROFILE, latency=LATENCY, quality=QUALITY)
    run = Run(recipe, profile=PROFILE, latency=LATENCY, quality=QUALITY, complete=True)
    data = {
        "basis": "samples",
        "model": "vowels_cnn",
        "opened": opened,
        "recipe": asdict(recipe),
        "seen": seen,
        "numbers": numbers(cards(View(original, run), busy=False)),
        "tried": tried(original, [run], busy=False),
        "words": {**words, "coverage": covered},
    }
    kept = {
        "model": "vowels_cnn",
        "counts": counts(model, START, calibration, ()),
        "surveyed": {"basis": "samples", "points": survey(model)},
    }
    page.evaluate(
        """([kept, data]) => {
          keep({ data: kept });
          const setStateValue = (_, choice) => { window.sent = choice; };
          mount({ parentElement: document.querySelector("main"), data, setStateValue });
        }""",
        json.loads(json.dumps([kept, data])),
    )


NEXT_FRAME = "() => new Promise(requestAnimationFrame)"


def slide(page: Page, name: str, value: int, event: str) -> None:
    """Move one of the sliders (`input`), or let go of it there (`change`)."""
    page.locator(f'input[name="{name}"]').evaluate(
        """(slider, [value, event]) => {
          slider.value = value;
          slider.dispatchEvent(new Event(event));
        }""",
        [value, event],
    )
    page.evaluate(NEXT_FRAME)


def texts(page: Page, part: str) -> list[str]:
    return page.locator(f".number .{part}").all_inner_texts()


DONE = ["computed"] * 4 + ["measured"] * 2
RELEASE = [f"{done} when you release the slider" for done in DONE]
MOVES = [  # a slider, its place, and what it then says
    ("ratio", 50, {"pattern": "channel"}),
    ("weight_bits", WEIGHT_BITS.index(4), {"weight_bits": 4}),
]


@pytest.mark.parametrize(("name", "place", "says"), MOVES, ids=str)
def test_the_panel_estimates_what_is_covered_and_nothing_else(
    blank: Page, name: str, place: int, says: dict[str, Any]
) -> None:
    show(blank, START, COVERAGE)
    slide(blank, name, place, "input")
    assert texts(blank, "kind") == ["estimated"] * 4 + ["predicted"] * 2
    assert "–" not in texts(blank, "value")
    assert blank.locator(".strip").is_visible()
    assert blank.locator(".chart .here").count() == 1

    ((field, value),) = says.items()
    narrow = without(field, value)
    show(blank, START, narrow)
    slide(blank, name, place, "input")
    assert texts(blank, "value") == RELEASE
    assert texts(blank, "kind") == [f"not {done}" for done in DONE]
    assert not blank.locator(".strip").is_visible()
    assert blank.locator(".chart .here").count() == 0
    assert blank.get_by_text("can't be estimated in the browser").is_visible()

    slide(blank, name, place, "change")
    asked = Recipe.from_json(json.dumps(blank.evaluate("window.sent.recipe")))
    assert asked != START
    show(blank, asked, narrow, seen=blank.evaluate("window.sent.number"))
    assert texts(blank, "kind") == DONE
    assert not set(texts(blank, "value")) & {"–", *RELEASE}
    assert not blank.locator(".strip").is_visible()


def test_a_move_ends_with_the_model_that_it_was_made_on(blank: Page) -> None:
    name, place, _ = MOVES[0]
    for opened in (None, "a"):  # what is chosen while nothing is open is for what will be
        show(blank, START, COVERAGE, opened=opened)
        slide(blank, name, place, "change")
        assert blank.evaluate("window.sent.opened") == opened
    other = replace(START, ratio=0.7)
    slide(blank, name, place, "input")
    show(blank, other, COVERAGE, seen=0, opened="b")
    assert blank.locator(f'input[name="{name}"]').input_value() == "70"
    slide(blank, name, place, "change")
    assert blank.evaluate("window.sent.opened") == "b"


def test_a_preset_leads_back_to_what_is_covered(blank: Page) -> None:
    show(blank, replace(START, pattern="block"), without("pattern", "block"))
    assert not blank.locator(".strip").is_visible()
    blank.locator('select[name="preset"]').select_option("int4")
    assert blank.evaluate("window.sent.recipe.weight_bits") == 4
    blank.evaluate(NEXT_FRAME)
    assert blank.locator(".strip").is_visible()
    assert texts(blank, "kind")[0] == "estimated"


def test_what_is_new_in_python_can_be_chosen_and_is_not_estimated(blank: Page) -> None:
    """A pattern with a ratio, and a width, of which the estimator knows nothing."""
    new = {
        **PANEL,
        "patterns": {**PATTERN_LABELS, "rows": "Rows"},
        "ratio_patterns": [*RATIO_PATTERNS, "rows"],
        "precisions": {**PRECISIONS, 1: "INT1"},
    }
    show(blank, START, COVERAGE, words=new)
    blank.locator('select[name="pattern"]').select_option("rows")
    for name, place in (("ratio", 50), ("weight_bits", len(WEIGHT_BITS))):
        slide(blank, name, place, "input")
        assert texts(blank, "value") == RELEASE
        slide(blank, name, place, "change")
    sent = blank.evaluate("window.sent.recipe")
    assert (sent["pattern"], sent["ratio"], sent["weight_bits"]) == ("rows", 0.5, 1)
