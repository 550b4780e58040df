"""What the panel sends when a slider is released; whoever sends it, it may be anything.

It may come late, too: when another model is open by now, for which its setting wasn't meant.
"""

import json
from dataclasses import dataclass

from explorer.errors import RecipeError
from explorer.recipe import Recipe


@dataclass(frozen=True)
class Choice:
    """A setting and which choice of the panel it is; of what can't be read, the `refusal`.

    All of them may be None: what was chosen for another model isn't refused, it does nothing.
    """

    recipe: Recipe | None = None
    number: int | None = None
    refusal: str | None = None


def read_choice(sent: object, opened: str | None) -> Choice:
    """`sent` is {"number", "opened", "recipe"} where it comes from the panel.

    `opened` is what the panel was told to call the model that is open.
    """
    told = sent if isinstance(sent, dict) else {}
    number = told.get("number")
    number = number if type(number) is int else None
    try:
        recipe = Recipe.from_json(json.dumps(told.get("recipe")))
    except RecipeError as error:
        return Choice(None, number, str(error))
    is_meant = told.get("opened") in (opened, None)  # None: chosen before anything was open
    return Choice(recipe if is_meant else None, number)
