"""The steps that lead from the original to the same file and the same numbers, as Python code.

Names come from strangers: they enter the code as Python literals only, and never a comment.
"""

import re
from dataclasses import fields

from explorer.exports.outcome import Outcome
from explorer.recipe import LayerChoice, Recipe
from explorer.render.templating import Code, render

OUT = "compressed.onnx"
WIDE = 88  # characters of a line of code, where a name allows it
SHOWN = {  # of the reports
    "profile": (
        "file_bytes", "gzip_bytes", "packed_bytes", "params", "nonzero_params", "macs",
        "peak_activation_bytes",
    ),
    "quality": ("metric", "value", "low", "high", "samples", "reference_value"),
    "latency": ("ratio", "ratio_low", "ratio_high", "min_s", "runtime"),
}  # fmt: skip


def steps(outcome: Outcome) -> list[list[str]]:
    """What each piece of code does, in words of our own, and the code.

    No literal holds a line break, so none can begin a step.
    """
    text = render(
        "steps.py.jinja",
        outcome=outcome,
        input_sizes=dict(outcome.input_sizes),
        shown=SHOWN,
        recipe=Code(recipe_code(outcome.recipe)),
        out=OUT,
    )
    parts = re.split("^# %% ", text, flags=re.MULTILINE)[1:]
    return [part.rstrip().split("\n", 1) for part in parts]


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
