"""What the panel sends when a slider is released; whoever sends it, it may be anything."""

import json
from dataclasses import dataclass

from explorer.errors import RecipeError
from explorer.recipe import Recipe


@dataclass(frozen=True)
class Choice:
    """A setting and which choice of the panel it is; of what can't be read, the `refusal`."""

    recipe: Recipe | None = None
    number: int | None = None
    refusal: str | None = None


def read_choice(sent: object) -> Choice:
    """`sent` is {"number", "recipe"} where it comes from the panel."""
    told = sent if isinstance(sent, dict) else {}
    number = told.get("number")
    number = number if type(number) is int else None
    try:
        recipe = Recipe.from_json(json.dumps(told.get("recipe")))
    except RecipeError as error:
        return Choice(None, number, str(error))
    return Choice(recipe, number)
