"""The steps that lead from the original to the same file and the same numbers, as Python code.

Names come from strangers: they enter the code as Python literals only, and never a comment.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from explorer.exports.outcome import Outcome
from explorer.recipe import LayerChoice, Recipe

OUT = "compressed.onnx"
WIDE = 88  # characters of a line of code, where a name allows it
SAME_FILE = "the same file as on the page, byte for byte"
OTHER_FILE = (
    "not the same bytes as on the page: another processor or library version rounds the last "
    "digits differently; the numbers below should be nearly equal"
)


@dataclass(frozen=True)
class Step:
    """What a piece of code does, in words of our own, and the code."""

    about: str
    code: str


def steps(outcome: Outcome) -> tuple[Step, ...]:
    """Load, calibrate, plan, apply, save, score, time."""
    return tuple(_steps(outcome))


def _steps(outcome: Outcome) -> Iterator[Step]:
    files = outcome.files
    yield Step("The files, and the numbers that the page showed.", _given(outcome))
    yield Step("The recipe.", f"recipe = {recipe_code(outcome.recipe)}")
    about = "Load the original, at the input sizes that were set."
    load = _LOAD_AT if outcome.input_sizes else _LOAD
    yield Step(about if outcome.input_sizes else "Load the original.", f"{load}\n{_CHECK}")
    yield Step(
        "One pass over the samples for calibration, which need no labels."
        if files.calibration
        else "There were no samples for calibration.",
        "calibration = explorer.calibrate(model, CALIBRATION)"
        if files.calibration
        else "calibration = None",
    )
    yield Step("Plan, compress, and write the file.", _COMPRESS)
    yield Step("Profile: here and on the page.", _COUNT)
    if files.data:
        metric = f", metric={outcome.metric!r}" if outcome.metric else ""
        yield Step("Score it, on the same samples.", _SCORE.replace("METRIC", metric))
    yield Step("Measure the latency beside the original; it differs between machines.", _TIME)


_LOAD = "model = explorer.load(MODEL)"
_LOAD_AT = "model = explorer.load(MODEL, input_sizes=INPUT_SIZES)"
_CHECK = """\
if model.id != ORIGINAL_ID:
    raise SystemExit(f"{MODEL!r} is not the model that was open on the page.")"""
_COMPRESS = f"""\
plan = explorer.plan(model, recipe, calibration)
small = explorer.apply(model, plan, calibration)
small.save({OUT!r})
print({SAME_FILE!r} if small.id == COMPRESSED_ID else {OTHER_FILE!r})"""
_COUNT = """\
profile = explorer.profile(small)


def show(what, here, page):
    print(f"{what:<30}{here!s:>26}{page!s:>26}")


show("", "here", "on the page")
for what, page in PAGE["profile"].items():
    show(what, getattr(profile, what), page)"""
_SCORE = """\
quality = explorer.evaluate(small, DATA, modelMETRIC)
for what, page in PAGE["quality"].items():
    show(what, getattr(quality, what), page)"""
_TIME = """\
latency = explorer.measure_latency(small, against=model)
for what, page in PAGE["latency"].items():
    show(what, getattr(latency, what), page)"""


def _given(outcome: Outcome) -> str:
    files = outcome.files
    names = {"MODEL": files.model, "CALIBRATION": files.calibration, "DATA": files.data}
    lines = ["import explorer", ""]
    lines += [f"{name} = {value!r}" for name, value in names.items() if value is not None]
    if outcome.input_sizes:
        lines.append(f"INPUT_SIZES = {dict(outcome.input_sizes)!r}")
    lines += [
        f"ORIGINAL_ID = {outcome.original.model_id!r}  # SHA-256 of the file",
        f"COMPRESSED_ID = {outcome.compressed.model_id!r}",
        f"PAGE = {_dict(_page(outcome))}",
    ]
    return "\n".join(lines)


def _page(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The numbers on the page, by the names that they have in the reports."""
    profile, quality = outcome.compressed.profile, outcome.compressed.quality
    latency = outcome.compressed.latency
    shown = ("file_bytes", "gzip_bytes", "packed_bytes", "params", "nonzero_params", "macs")
    scores = ("metric", "value", "low", "high", "samples", "reference_value")
    times = ("ratio", "ratio_low", "ratio_high", "min_s", "runtime")
    return {
        "profile": {name: getattr(profile, name) for name in (*shown, "peak_activation_bytes")},
        "quality": {name: getattr(quality, name) for name in scores} if quality else {},
        "latency": {name: getattr(latency, name) for name in times} if latency else {},
    }


def _dict(values: dict[str, dict[str, Any]]) -> str:
    """Nested dictionaries of plain values, a value a line."""
    lines = ["{"]
    for part, entries in values.items():
        lines.append(f"    {part!r}: {{")
        lines += [f"        {name!r}: {_literal(value)}," for name, value in entries.items()]
        lines.append("    },")
    return "\n".join([*lines, "}"])


def _literal(value: object) -> str:
    """As Python reads it, numbers without end included."""
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return repr(value) if is_finite else f"float({str(value)!r})"


def recipe_code(recipe: Recipe) -> str:
    """The call that makes a recipe, with what differs from its defaults."""
    usual = Recipe()
    given = [
        f"{each.name}={_value(getattr(recipe, each.name))}"
        for each in fields(Recipe)
        if getattr(recipe, each.name) != getattr(usual, each.name)
    ]
    return f"explorer.Recipe({_arguments(given)})"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"({''.join(f'{_choice(each)}, ' for each in value).rstrip()})"
    return repr(value)


def _choice(choice: LayerChoice) -> str:
    words = [repr(choice.name)]
    words += [
        f"{name}={value!r}"
        for name in ("ratio", "weight_bits")
        if (value := getattr(choice, name)) is not None
    ]
    return f"explorer.LayerChoice({', '.join(words)})"


def _arguments(words: list[str]) -> str:
    """On one line where they fit there, else one a line."""
    line = ", ".join(words)
    if len(line) <= WIDE:
        return line
    return "".join(f"\n    {word}," for word in words) + "\n"
