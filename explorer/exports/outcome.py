"""Everything that an export tells, as it stood on the screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from explorer.description import Host
from explorer.recipe import Recipe
from explorer.render.text import command_line, machine_text
from explorer.report import Plan, Report

COSTS = ("file_bytes", "macs", "latency")
KINDS = {
    "measured": "measured on this file",
    "computed": "computed from this file",
    "estimated": "estimated from the plan",
    "first": "measured on the first samples",
    "quick": "measured on few samples, after a quick reconstruction",
    "noisy": "measured, but the machine was busy",
    "made_up": "measured, on random inputs",
}


@dataclass(frozen=True)
class Number:
    """One quantity in words: of now, of the original, and what lies between.

    `kind` says where it comes from, `tone` is good, bad or even. `share` is what is left of the
    original, where that is a bar; `is_headline` tells the six numbers of the panel from the others.
    """

    title: str
    meaning: str
    value: str
    original: str
    difference: str = ""
    interval: str = ""
    kind: str = "measured"
    tone: str = "even"
    note: str = ""
    share: float | None = None
    is_headline: bool = True

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return KINDS.get(self.kind, self.kind)

    @property
    def doubt(self) -> str:
        """The same, where it is neither measured nor computed as usual."""
        return "" if self.kind in ("measured", "computed") else self.source


@dataclass(frozen=True)
class Point:
    """A setting that was tried: its costs by `COSTS` (None: not known) and its quality.

    `low` and `high` are the interval of the quality, `text` the quality in words; `is_reliable` is
    False where the latency was timed on a busy machine.
    """

    label: str
    costs: Mapping[str, float | None]
    quality: float
    low: float | None
    high: float | None
    text: str
    is_reliable: bool = True
    is_original: bool = False
    is_current: bool = False


@dataclass(frozen=True)
class Files:
    """How model, data and calibration are called by whoever reproduces the result."""

    model: str
    data: str | None = None
    calibration: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One compressed model beside its original.

    `title` and all names are a stranger's text. `stem` is a file name that is safe anywhere.
    `setting` is the recipe in words, `day` when this was written (2026-11-23). `remarks` are
    sentences about surprises, `advice` about how the file is meant to be run, and `clock` on how
    the latency was measured. `inputs` are name, element type and shape of each input, `input_sizes`
    the shapes that were set. `unit` is that of the points' quality, of which less is better where
    it `falls`; `metric` is the one that was asked for, if any was.
    """

    title: str
    stem: str
    setting: str
    day: str
    recipe: Recipe
    files: Files
    original: Report
    compressed: Report
    plan: Plan
    numbers: tuple[Number, ...]
    points: tuple[Point, ...] = ()
    unit: str = "%"
    falls: bool = False
    metric: str | None = None
    remarks: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    clock: str = ""
    host: Host | None = None
    inputs: tuple[tuple[str, str, str], ...] = ()
    input_sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    is_weight_only: bool = False
    is_made_up: bool = False
    not_reconstructed: str | None = None

    @property
    def headlines(self) -> tuple[Number, ...]:
        """The numbers of the panel."""
        return tuple(number for number in self.numbers if number.is_headline)

    @property
    def command(self) -> str:
        """The line of a shell that makes the file again."""
        files = self.files
        paths = (files.model, files.data, files.calibration)
        return command_line(self.recipe, *paths, self.metric, self.input_sizes)

    @property
    def machine(self) -> str:
        """Where it was measured: processor, threads, runtime; empty where nobody said."""
        return machine_text(self.host) if self.host is not None else ""
