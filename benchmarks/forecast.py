"""What the panel predicts while the hand moves, against what is measured when it lets go.

    python -m benchmarks.forecast [--recipes 50] [--sample NAME] [--seed 0]

For each sample: its survey, then random places of all sliders, half of them with choices of their
own for one to three layers, each measured as the app measures it. Needs Node.js.
"""

import argparse
import json
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import explorer
from benchmarks.figures import Row, print_rows, print_start
from benchmarks.quality.samples import CATALOG
from benchmarks.timing import SAMPLES
from explorer import pipeline
from explorer.events import SurveyTimed
from explorer.formats.data import load_data
from explorer.preview.counts import counts
from explorer.preview.forecast import surveyed
from explorer.recipe import ACTIVATION_BITS, PATTERNS, WEIGHT_BITS, LayerChoice, Recipe

LARGEST_RATIO = 0.95
SCRIPT = Path(__file__).with_name("forecast.mjs")
POINTS = 100


def main() -> None:
    """Print the errors of the predictions, each beside its goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", type=int, default=50)
    parser.add_argument("--sample")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print_start()
    entries = [entry for entry in CATALOG["model"] if given.sample in (None, entry["name"])]
    print_rows(row for entry in entries for row in errors(entry, given.recipes, given.seed))


def errors(entry: dict[str, Any], number: int, seed: int) -> Iterator[Row]:
    """How far predictions are off, and how long the survey took."""
    model = explorer.load(SAMPLES / entry["file"])
    data = load_data(SAMPLES / entry["test_data"], model)
    calibration = explorer.calibrate(model, SAMPLES / entry["calibration_data"])
    started = time.perf_counter()
    points = survey(pipeline.Opened(model, data, calibration))
    survey_s = time.perf_counter() - started
    rng = random.Random(seed)
    names = [layer.name for layer in model.layers]
    recipes = [moved(rng, names) for _ in range(number)]
    original = explorer.evaluate(model, data).value
    told = {
        "counts": counts(model, Recipe(), calibration),
        "surveyed": points,
        "original": original,
        "recipes": [asdict(recipe) for recipe in recipes],
    }
    predicted = predictions(told)
    off: dict[str, list[float]] = {"accuracy": [], "latency": []}
    for recipe, each in zip(recipes, predicted, strict=True):
        small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
        accuracy = explorer.evaluate(small, data).value
        ratio = explorer.measure_latency(small, model).ratio
        off["accuracy"].append(POINTS * abs(each["quality"] - accuracy))
        off["latency"].append(100 * abs(each["latency"] / ratio - 1))
    title = entry["title"]
    for kind, unit, goals in (("accuracy", "pp", (1, 3)), ("latency", "%", (10, 25))):
        middle, most = np.quantile(off[kind], [0.5, 0.9])
        yield f"{title}: {kind}, median", f"{middle:.2f} {unit}", f"{goals[0]} {unit}"
        yield f"{title}: {kind}, 90th percentile", f"{most:.2f} {unit}", f"{goals[1]} {unit}"
    yield f"{title}: survey, {len(points)} settings", f"{survey_s:.0f} s", ""


def survey(opened: pipeline.Opened) -> list[dict[str, Any]]:
    """All that the app finds out before it predicts."""
    _, *found = pipeline.survey(opened, Recipe(), pipeline.Here(), pipeline.Unwatched())
    assert any(isinstance(event, SurveyTimed) for event in found)
    points: list[dict[str, Any]] = surveyed(found, "data")["points"]
    return points


def moved(rng: random.Random, names: list[str]) -> Recipe:
    """All sliders at random places."""
    some = rng.sample(names, min(len(names), rng.choice((0, 0, 0, 1, 2, 3))))
    return Recipe(
        pattern=rng.choice(PATTERNS),
        ratio=round(rng.uniform(0, LARGEST_RATIO), 2),
        weight_bits=rng.choice(WEIGHT_BITS),
        activation_bits=rng.choice(ACTIVATION_BITS),
        layers=tuple(
            LayerChoice(
                name,
                rng.choice((None, round(rng.uniform(0, LARGEST_RATIO), 2))),
                rng.choice((None, *WEIGHT_BITS)),
            )
            for name in some
        ),
    )


def predictions(told: dict[str, Any]) -> list[dict[str, float]]:
    """What the panel's own JavaScript says."""
    done = subprocess.run(
        ["node", SCRIPT], check=True, input=json.dumps(told), capture_output=True, text=True
    )
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
