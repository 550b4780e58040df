"""How many threads linear algebra gets: one, where another would only wait for it.

OpenBLAS splits even small products, and its threads wait for each other in busy loops. Up to some
hundred rows that gains nothing on an idle machine, and costs several times as much where a core is
busy with something else (`docs/decisions/0024`). With one thread, the last bits of a sum don't
depend on the number of cores, so a file is the same on every machine of its kind.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from threadpoolctl import ThreadpoolController

from explorer.model import Model

SMALL = 1024  # the longest side of a matrix that is quicker on one thread, or as quick

F = TypeVar("F", bound=Callable[..., Any])


def with_fitting_threads(function: F) -> F:
    """Let a function of a `model` work on one thread of linear algebra, if its layers are small."""

    @wraps(function)
    def limited(model: Model, *args: Any, **kwargs: Any) -> Any:
        if longest_side(model) > SMALL:
            return function(model, *args, **kwargs)
        with ThreadpoolController().limit(limits=1, user_api="blas"):
            return function(model, *args, **kwargs)

    return cast(F, limited)


def longest_side(model: Model) -> int:
    """Of the layers' weights as matrices: channels, or inputs of each."""
    sides = (max(layer.channels, layer.weights // layer.channels) for layer in model.layers)
    return max(sides, default=0)
