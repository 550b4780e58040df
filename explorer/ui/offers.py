"""The files to download, each with a line on what it is."""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from explorer.digits import speedup
from explorer.exports.card import card
from explorer.exports.outcome import Outcome
from explorer.exports.page import page
from explorer.exports.script import notebook, script
from explorer.recipe import Recipe
from explorer.render.labels import precision
from explorer.render.text import METRIC_NAMES, format_bytes, format_quality
from explorer.runs import Run
from explorer.storage_types import element_name
from explorer.ui.current_outcome import files_of, is_own
from explorer.workspace.sources import Source

GZIP_LEVEL = 6  # as in the size with gzip (`explorer.measure.profile`)
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Offer:
    """A file to download, with a line on what it is; made when somebody asks for it."""

    label: str
    about: str
    name: str
    kind: str
    content: Callable[[], bytes | str]


def file_offers(run: Run, file: Path, stem: str) -> tuple[Offer, Offer]:
    """The compressed file, as it is and with gzip."""
    profile, name = run.profile, f"{stem}_compressed.onnx"
    plain = f"{format_bytes(profile.file_bytes)}, " if profile else ""
    zipped = f"{format_bytes(profile.gzip_bytes)}, " if profile and profile.gzip_bytes else ""
    return (
        Offer(
            "Compressed model (.onnx)",
            f"{plain}{stored_as(run)}: the file that was timed and scored.",
            name,
            BINARY,
            file.read_bytes,
        ),
        Offer(
            "With gzip (.onnx.gz)",
            f"{zipped}the same file, compressed for an over-the-air update.",
            f"{name}.gz",
            "application/gzip",
            partial(_zipped, file),
        ),
    )


def variant_offer(run: Run, file: Path, stem: str) -> Offer:
    """The file of the same setting with weights of another width."""
    bits = run.recipe.weight_bits
    name = f"{stem}_compressed_{bits}bit.onnx"
    return Offer(
        f"{precision(bits)} weights (.onnx)", numbers_text(run), name, BINARY, file.read_bytes
    )


def recipe_offer(recipe: Recipe) -> Offer:
    """The setting as a file."""
    about = "The setting; load it under “Advanced settings”, or pass it to compress --recipe."
    return Offer("Recipe (.json)", about, "recipe.json", "application/json", recipe.to_json)


def again_offers(outcome: Outcome | None) -> tuple[Offer, ...]:
    """Code that reproduces the file; none before the setting is measured."""
    if outcome is None:
        return ()
    return (
        Offer(
            "Python script (.py)",
            "Reproduces the file and prints its numbers beside those of this page.",
            f"{outcome.stem}_compressed.py",
            "text/x-python",
            partial(script, outcome),
        ),
        Offer(
            "Jupyter notebook (.ipynb)",
            "The same, step by step.",
            f"{outcome.stem}_compressed.ipynb",
            "application/x-ipynb+json",
            partial(notebook, outcome),
        ),
    )


def telling_offers(outcome: Outcome | None) -> tuple[Offer, ...]:
    """Pages to share; none before the setting is measured."""
    if outcome is None:
        return ()
    return (
        Offer(
            "Report (.html)",
            "All numbers, charts and layers in one offline page, to read or print.",
            f"{outcome.stem}_report.html",
            "text/html",
            partial(page, outcome),
        ),
        Offer(
            "Model card (.md)",
            "What the file is, how it was compressed and measured, and its limits.",
            f"{outcome.stem}_card.md",
            "text/markdown",
            partial(card, outcome),
        ),
    )


def given_offers(source: Source) -> Iterator[Offer]:
    """The files that the command reads, unless they come with the explorer."""
    files = files_of(source)
    if is_own(source):
        about = "The original as ONNX, with the file name that the command uses."
        yield Offer("Original (.onnx)", about, files.model, BINARY, source.model.read_bytes)
    split = (
        (source.data, files.data, "Test samples (.npz)", "for scoring"),
        (source.calibration, files.calibration, "Calibration samples (.npz)", "for calibration"),
    )
    for path, name, label, use in split:
        if source.drop is not None and path is not None and name is not None and path.exists():
            about = f"The split of your samples that the page used {use}."
            yield Offer(label, about, name, BINARY, path.read_bytes)


def stored_as(run: Run) -> str:
    """The types in which the file holds weights."""
    types = dict.fromkeys(element_name(layer.storage) for layer in run.layers if not layer.closed)
    return f"weights in {' and '.join(types)}" if types else "no weights in its layers"


def numbers_text(run: Run) -> str:
    """Size, time and quality of a file in a line."""
    latency, quality, words = run.latency, run.quality, [stored_as(run)]
    if run.profile is not None:
        words.insert(0, format_bytes(run.profile.file_bytes))
    if latency is not None:
        words.append(speedup(latency.ratio) if latency.changed else "no measurable latency change")
    if quality is not None:
        words.append(f"{METRIC_NAMES[quality.metric]} {format_quality(quality)}")
    return ", ".join(words)


def _zipped(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), GZIP_LEVEL, mtime=0)
