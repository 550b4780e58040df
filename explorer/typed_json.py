"""Frozen values as JSON and back, of exactly the types that they declare.

What is read may come from a process that was taken over, or from a file that somebody has changed.
Loads nothing heavy.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from cattrs.preconf.json import make_converter

from explorer.recipe import Recipe

Kind = TypeVar("Kind")

_converter = make_converter(detailed_validation=False, forbid_extra_keys=True)


def _exact(kind: type, *accepted: type) -> None:
    """Take no value of another type for one of this kind, and no number that isn't finite."""

    def structure(value: object, _: type) -> object:
        if type(value) not in accepted or (kind is float and not math.isfinite(value)):  # type: ignore[arg-type]
            raise TypeError(value)
        return kind(value)

    _converter.register_structure_hook(kind, structure)


_exact(bool, bool)
_exact(int, int)
_exact(float, float, int)
_exact(str, str)
_exact(Path, str)
_converter.register_unstructure_hook(Path, str)
_converter.register_structure_hook(Recipe, lambda values, _: Recipe.from_json(json.dumps(values)))


def to_plain(value: Any) -> dict[str, Any]:
    """A frozen value as JSON."""
    plain: dict[str, Any] = _converter.unstructure(value)
    return plain


def from_plain(values: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """The inverse of `to_plain`.

    Raises:
        ValueError: it is no value of this kind.
    """
    try:
        return _converter.structure(dict(values), kind)
    except Exception as error:
        raise ValueError(f"This is no {kind.__name__}.") from error
