"""Lengths of axes as functions of what is gone of each channel group.

A group gives its channels away in portions, in one fixed order. So how much an axis has lost is,
group by group, a number for each number of portions that are gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.compress.portions import Portions
from explorer.graph.channels import ChannelGroup, Channels

Units = npt.NDArray[np.int64]
Integers = npt.NDArray[np.int64]
Dims = list[int]  # a length, or -1 - the place of a size


class Sizes:
    """All sizes of a model, each listed once; `full` is each one's length with nothing gone."""

    def __init__(
        self,
        channels: Channels,
        portions: Mapping[int, Portions],
        groups: Sequence[ChannelGroup],
    ) -> None:
        """`portions` of the groups that may shrink, by their places among all `groups`."""
        self.listed: list[dict[str, Any]] = []
        self.full: list[int] = []
        self._places: dict[str, int] = {}
        self._group = np.full(channels.unit_count + 1, -1, dtype=np.int64)
        self._portion = np.zeros(channels.unit_count + 1, dtype=np.int64)
        self._ends: dict[int, Integers] = {}
        for place, each in portions.items():
            if len(each.ends):
                going = groups[place].units[each.order[: each.ends[-1]]]
                self._group[going] = place
                self._portion[going] = np.repeat(np.arange(len(each.ends)), each.sizes)
                self._ends[place] = each.ends

    def of(self, units: Units, amounts: Integers | None = None) -> int:
        """The size of an axis, as in `Dims`; `amounts` is what each unit's slice counts for."""
        counts = np.ones(len(units), dtype=np.int64) if amounts is None else amounts
        gone: list[tuple[int, int | list[int]]] = []
        for group in np.unique(self._group[units]).tolist():
            if group >= 0:
                own = self._group[units] == group
                ends = self._ends[group]
                lost = np.bincount(self._portion[units[own]], counts[own], minlength=len(ends))
                gone.append((group, _short(lost.astype(np.int64).cumsum(), ends)))
        full = int(counts.sum())
        return self._list(full, gone) if gone else full

    def _list(self, full: int, gone: list[tuple[int, int | list[int]]]) -> int:
        key = repr((full, gone))
        if key not in self._places:
            self._places[key] = len(self.listed)
            self.listed.append({"full": full, "gone": gone})
            self.full.append(full)
        return -1 - self._places[key]


def _short(lost: Integers, ends: Integers) -> int | list[int]:
    """What is lost after each portion; one number where it is so much for each channel."""
    each = int(lost[0]) // int(ends[0])
    if (lost == each * ends).all():
        return each
    return [0, *(int(count) for count in lost)]
