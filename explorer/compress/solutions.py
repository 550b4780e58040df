"""What reconstruction has solved before, so that a recipe solves only what it changes."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from explorer.compress.quantizers import Rounded
from explorer.compress.rows import Array

REMEMBERED_BYTES = 2**29

Version = str  # names all that a result depends on; empty where that is the original's


@dataclass(frozen=True, eq=False)
class Solved:
    """New content of a layer's weight and bias, and the weight as it is stored, if rounded."""

    weight: Array
    bias: Array | None
    rounded: Rounded | None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes to remember this."""
        return self.weight.nbytes * (1 if self.rounded is None else 2)


@dataclass(eq=False)
class Memory:
    """Solved layers, the newest up to a number of bytes, and ranges of activations."""

    solved: "OrderedDict[Version, Solved]" = field(default_factory=OrderedDict)
    ranges: dict[Version, tuple[float, float]] = field(default_factory=dict)
    removals: dict[int, Any] = field(default_factory=dict)
    curves: dict[tuple[Any, ...], tuple[float, ...]] = field(default_factory=dict)
    worse: set[str] = field(default_factory=set)  # plans that fit the held-out samples worse
    sequences: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    portions: dict[Any, Any] = field(default_factory=dict)

    def curve(
        self, key: tuple[Any, ...], find: Callable[[], tuple[float, ...]]
    ) -> tuple[float, ...]:
        """A layer's errors at some settings; looked for once."""
        if key not in self.curves:
            self.curves[key] = find()
        return self.curves[key]

    def get(self, version: Version) -> Solved:
        """What was solved under a version."""
        self.solved.move_to_end(version)
        return self.solved[version]

    def add(self, version: Version, solved: Solved) -> None:
        """Remember; what was used longest ago is forgotten."""
        self.solved[version] = solved
        total = sum(each.nbytes for each in self.solved.values())
        while total > REMEMBERED_BYTES and len(self.solved) > 1:
            total -= self.solved.popitem(last=False)[1].nbytes
