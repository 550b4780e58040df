"""What the options of a command ask for, and what is refused before the work."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from explorer.errors import OutputError, RecipeError, reason_of
from explorer.names import cleaned
from explorer.recipe import AIMS, Recipe, check_aim
from explorer.render.text import FLAG_NAMES

MOST_POINTS = 100
# Options that name a file to read.
INPUTS = ("model", "data", "calibration", "recipe", "reference", "against")


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe file, if there is one, with what the other options override.

    Raises:
        RecipeError: the file can't be read, or there is no such recipe.
    """
    recipe = Recipe()
    if options.recipe:
        try:
            recipe = Recipe.from_json(Path(options.recipe).read_bytes())
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            raise RecipeError(f"The recipe {options.recipe} can't be read: {reason}.") from error
    given = {name: value for name in FLAG_NAMES if (value := getattr(options, name)) is not None}
    if options.no_compensate:
        given["compensate"] = False
    if options.widths:
        given["widths"] = True
    if options.keep_metadata:
        given["keep_metadata"] = True
    if options.short_names:
        given["short_names"] = True
    return replace(recipe, **given)


def remarks_on(recipe: Recipe, options: argparse.Namespace) -> list[str]:
    """What of the request has no effect, or not in all layers."""
    remarks = []
    if recipe.ratio and not recipe.prunes_by_ratio:
        remarks.append(f"the ratio has no effect with pattern {recipe.pattern!r}")
    if recipe.prunes_by_ratio and not recipe.ratio and not recipe.layers:
        remarks.append(f"pattern {recipe.pattern!r} prunes nothing at a ratio of 0")
    own = sum(choice.weight_bits is not None for choice in recipe.layers)
    if options.weight_bits is not None and own:
        layers = "1 layer keeps" if own == 1 else f"{own} layers keep"
        remarks.append(f"{layers} the weight bits that the recipe gives")
    if options.bits_scope == "global" and not recipe.spreads_bits:
        remarks.append(f"mixed precision has no effect at {recipe.weight_bits} weight bits")
    return remarks


def aim_of(options: argparse.Namespace) -> str:
    """What to minimize."""
    return AIMS[0] if options.on is None else str(options.on)


def check_spending(options: argparse.Namespace) -> None:
    """Fail before the work, not after it."""
    if options.spend is None:
        for name, given in (("--on", options.on), ("--save-recipe", options.save_recipe)):
            if given is not None:
                raise RecipeError(f"{name} is for an accuracy budget; add --spend.")
        return
    if not 0 < options.spend <= MOST_POINTS:  # NaN fails the comparison too
        raise RecipeError(
            f"The accuracy budget is {options.spend:.10g}; it must be above 0 and at most "
            f"{MOST_POINTS}."
        )
    check_aim(aim_of(options))
    if options.save_recipe is not None:
        check_output(Path(options.save_recipe), options)


def check_inputs(options: argparse.Namespace) -> None:
    """Refuse devices, of which some never end."""
    for name in filter(None, (getattr(options, each, None) for each in INPUTS)):
        try:
            is_device = Path(name).is_char_device()
        except (OSError, ValueError):
            continue  # whoever reads it says what is wrong
        if is_device:
            raise RecipeError(f"{cleaned(name)} is a device; name a file.")


def check_output(path: Path, options: argparse.Namespace) -> None:
    """Fail before the work, not after it, and never write over what is read."""
    given = [Path(name) for each in INPUTS if (name := getattr(options, each, None))]
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
        is_special = path.exists() and not path.is_file()
        is_read = path.exists() and any(path.samefile(read) for read in given if read.exists())
    except (OSError, ValueError) as error:
        raise OutputError("The system doesn't accept the name of the output file.") from error
    if is_folder:
        raise OutputError(f"{path} is a folder; name a file for the result.")
    if is_special:
        raise OutputError(f"{path} is not an ordinary file; name another one for the result.")
    if is_read:
        raise OutputError(f"{path} is also read; name another file for the result.")
    if not has_folder:
        raise OutputError(f"{path} can't be written: there is no folder {path.parent}.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OutputError(f"{path} can't be written: {reason_of(error)}.") from error
