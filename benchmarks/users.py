"""Simulated people, each with a setting or a model of their own, and the check of their answers.

Nobody else uses what is theirs, so whatever else the page shows is a foreign answer: somebody
else's setting, title or numbers.
"""

import asyncio
import random
import tomllib
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from benchmarks.client import Visitor
from benchmarks.page import Page, Shown
from benchmarks.timing import SAMPLES
from explorer.recipe import Recipe
from explorer.render.words import describe

BITS = (32, 8, 16, 4)  # that a person goes through
FIRST = Recipe(pattern="channel", ratio=0.3)  # what every visit begins with
RATIOS = [percent for percent in range(1, 96) if percent != 30]
UPLOAD_BOX = "A model and, if you have them, samples"
OPENING, NO_SETTING, UNKNOWN = "Opening the model", "…", "–"
MOST_PARAMS = 999  # the cards show up to three digits in full


@dataclass
class Findings:
    """What all visitors together have seen; times in seconds."""

    opened_s: list[float] = field(default_factory=list)
    rerun_s: list[float] = field(default_factory=list)
    runs: int = 0  # of the page or its live part, for whatever reason
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    params: dict[tuple[str, str], str] = field(default_factory=dict)  # by title and setting


@dataclass
class Own:
    """What one visitor may be shown; `params` are the original's by title, where it is known."""

    settings: set[str]
    titles: set[str]
    params: dict[str, str] = field(default_factory=dict)

    def stranger(self, shown: Shown) -> str | None:
        """What on the page is somebody else's, or None."""
        if shown.title not in self.titles | {OPENING}:
            return f"title {shown.title!r} instead of {self.titles}"
        if shown.setting not in self.settings | {NO_SETTING}:
            return f"setting {shown.setting!r} instead of {self.settings}"
        _, _, original = shown.cards.get("Parameters", ("", "", UNKNOWN))
        if original not in (UNKNOWN, self.params.get(shown.title, original)):
            return f"{original} parameters instead of {self.params[shown.title]}"
        return None


class User:
    """One person with a ratio of their own; `content` is the model of theirs, if they have one."""

    def __init__(
        self, number: int, address: str, findings: Findings, content: bytes | None = None
    ) -> None:
        self.visitor = Visitor(address, self._look)
        self.percent = RATIOS[number % len(RATIOS)]
        self.name = f"model {number}"
        self.own = Own({describe(FIRST)}, {first_title()})
        self._content = content
        self._params = params_of(number)
        self._findings = findings
        self._bits = BITS[0]

    async def arrive(self) -> None:
        """Open the page, and the model of theirs."""
        self._findings.opened_s.append(await self.visitor.open())
        if self.visitor.page.panel is None:
            self._findings.errors.append("The first page was without its panel.")
        if self._content is not None:
            await self.bring(self._content)

    async def bring(self, model: bytes) -> None:
        """Open a model of theirs; what is of another from then on is foreign."""
        self.own.titles.add(self.name)
        self.own.params[self.name] = str(self._params)
        await self.visitor.drop(UPLOAD_BOX, f"{self.name}.onnx", model)
        await self.visitor.wait_for(lambda page: _title(page) == self.name, "a model")
        self.own.titles = {self.name}

    async def choose(self, percent: int) -> None:
        """Move the ratio, and wait for the page."""
        self.percent = percent
        await self._change()

    async def move(self, percent: int) -> None:
        """Move the ratio, and don't wait."""
        self.percent = percent
        self.own.settings.add(self.asked)
        await self.visitor.slide(recipe(self.percent, self._bits))

    async def choose_bits(self, bits: int) -> None:
        """Move the bits; the ratio stays theirs."""
        self._bits = bits
        await self._change()

    async def work(self, until_s: float, think_s: float) -> None:
        """Change the setting again and again, with pauses of `think_s` on average."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(random.uniform(0, think_s))
        await self.choose(self.percent)
        turn = 0
        while clock() < until_s:
            await asyncio.sleep(random.uniform(0.5, 1.5) * think_s)
            turn += 1
            await self.choose_bits(BITS[turn % len(BITS)])

    async def leave(self) -> None:
        """Close the tab."""
        await self.visitor.close()

    async def has_answer(self, timeout_s: float) -> None:
        """Wait until the setting asked for last is there with all its numbers measured.

        Raises:
            TimeoutError: it isn't there in time.
        """

        def is_there(page: Page) -> bool:
            shown = page.shown
            return shown is not None and shown.measured and shown.setting == self.asked

        await self.visitor.wait_for(is_there, self.asked, timeout_s)

    @property
    def asked(self) -> str:
        """The setting that was asked for last, in the page's words."""
        return setting(self.percent, self._bits)

    async def _change(self) -> None:
        self.own.settings.add(self.asked)
        chosen = recipe(self.percent, self._bits)
        self._findings.rerun_s.append(await self.visitor.choose(chosen))

    def _look(self, page: Page) -> None:
        """Check what the page shows now that a run has ended."""
        self._findings.runs += 1
        self._findings.errors += page.errors
        shown = page.shown
        if shown is not None:
            self._note(self.own.stranger(shown) or self.other_numbers(shown))

    def other_numbers(self, shown: Shown) -> str | None:
        """The same setting on the same model has the same parameters, whoever asks."""
        kind, value, _ = shown.cards.get("Parameters", ("", UNKNOWN, ""))
        if value == UNKNOWN or kind == "queued":
            return None
        known = self._findings.params.setdefault((shown.title, shown.setting), value)
        return None if known == value else f"{value} parameters for {shown.setting}, as {known}"

    def _note(self, foreign: str | None) -> None:
        if foreign is not None:
            self._findings.foreign.append(f"{self.name}: {foreign}")


def setting(percent: int, bits: int) -> str:
    """A setting in the page's words."""
    return describe(recipe(percent, bits))


def recipe(percent: int, bits: int) -> Recipe:
    """A setting as the panel sends it."""
    return Recipe(pattern="channel", ratio=percent / 100, weight_bits=bits)


def first_title() -> str:
    """Of the model that every visit begins with."""
    found: str = tomllib.loads((SAMPLES / "catalog.toml").read_text())["model"][0]["title"]
    return found


def params_of(number: int) -> int:
    """How many parameters the model of a person has: from 5 to 999."""
    return 5 + number % (MOST_PARAMS - 4)


def model_of(number: int) -> bytes:
    """A model whose number of parameters is the person's own."""
    inputs = params_of(number)
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [inputs, 1], [0.5] * inputs)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    node = helper.make_node("MatMul", ["x", "weight"], ["y"], name="only")
    graph = helper.make_graph([node], "own", [x], [y], [weight])
    opset = [helper.make_opsetid("", 17)]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    data: bytes = made.SerializeToString()
    return data


def _title(page: Page) -> str:
    return page.shown.title if page.shown is not None else ""
