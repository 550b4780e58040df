"""Bare weights to ONNX: matched by names and shapes with the architectures that are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from explorer.errors import ModelError
from explorer.formats.onnx_file import OnnxFile
from explorer.formats.safetensors_header import check_header
from explorer.formats.signatures import EXPORT_HINT
from explorer.formats.torch_module import export
from explorer.formats.torch_words import in_own_words
from explorer.names import cleaned

if TYPE_CHECKING:
    from sample_models.registry import Architecture

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights")
MOST_WRAPPED = 4  # one in the other; a pickle's dictionary may hold itself
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
COUNTER = "num_batches_tracked"  # of a batch norm: files before torch 0.4.1 lack it
MOST_NAMED = 3  # architectures, in a message
Weights = dict[str, torch.Tensor]
Notes = list[str]


def read_state_dict(path: Path, title: str) -> tuple[Weights, Notes]:
    """The tensors of a file of torch.save, and notes on where in it they were.

    Raises:
        ModelError: it is damaged, or holds anything but plain tensors.
    """
    broken = f"{title} is a PyTorch file that is damaged, or holds more than plain tensors."
    with in_own_words(title, broken), torch.sparse.check_sparse_tensor_invariants():
        found = torch.load(path, map_location="cpu", weights_only=True)
    notes: Notes = []
    for _ in range(MOST_WRAPPED):
        if not isinstance(found, dict) or _tensors(found):
            break
        wrapper = next((key for key in WRAPPERS if isinstance(found.get(key), dict)), None)
        if wrapper is None:
            break
        found = found[wrapper]
        notes.append(f"The weights were taken from {wrapper!r} in the file.")
    weights = _tensors(found) if isinstance(found, dict) else {}
    if not weights:
        raise ModelError(f"{title} holds no named tensors; {EXPORT_HINT}.")
    return weights, notes


def read_safetensors(path: Path, title: str) -> tuple[Weights, Notes]:
    """The tensors of a safetensors file.

    Raises:
        ModelError: it is damaged or too large.
    """
    check_header(path, title)
    with in_own_words(title, f"{title} is a safetensors file that is damaged or cut short."):
        return load_file(path, device="cpu"), []


def convert_weights(weights: Weights, notes: Notes, title: str) -> tuple[OnnxFile, tuple[str, ...]]:
    """The model that the weights belong to, and notes on how it was found.

    Raises:
        ModelError: they aren't plain numbers, or those of no known architecture.
    """
    _check_plain(weights, title)
    weights, prefix = _without_prefix(weights)
    if prefix:
        notes.append(f"The prefix {prefix!r} of all names was left out.")
    known = _known()
    shapes = {each.name: each.weight_shapes() for each in known}
    fitting = next((each for each in known if _fits(weights, shapes[each.name])), None)
    if fitting is None:
        raise ModelError(
            f"{title} holds weights that fit none of the known architectures"
            f"{_misfit(weights, shapes)}; {EXPORT_HINT}."
        )
    if any(each.dtype in (torch.float16, torch.bfloat16) for each in weights.values()):
        notes.append("Its 16-bit weights were widened to float32.")
    with in_own_words(title, f"{title} has weights that don't fit {fitting.name}."):
        network = fitting.build()
        _check_kinds(network, weights, fitting.name, title)
        network = _filled(network, weights)
    file = export(network, fitting.example(), title)
    return file, (f"Recognised as {fitting.name} by the names and shapes.", *notes)


def _tensors(found: Mapping[Any, Any]) -> Weights:
    return {k: v for k, v in found.items() if isinstance(k, str) and torch.is_tensor(v)}


def _check_plain(weights: Weights, title: str) -> None:
    for name, tensor in weights.items():
        is_dense = tensor.layout is torch.strided and not tensor.is_quantized
        if not is_dense or tensor.is_meta or tensor.is_nested or tensor.is_complex():
            raise ModelError(
                f"{title} holds {cleaned(name)!r}, which isn't a plain tensor of numbers; save the "
                "weights dense and unquantized."
            )


def _without_prefix(weights: Weights) -> tuple[Weights, str]:
    taken = ""
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in weights)), ""):
        taken += prefix
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights, taken


def _known() -> "tuple[Architecture, ...]":
    """The architectures that come with the samples; none where the samples don't lie here."""
    try:
        from sample_models import registry  # noqa: PLC0415 - the samples are no part of the engine
    except ImportError:
        return ()
    return registry.ARCHITECTURES


def _fits(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    missing = {name for name in shapes.keys() - weights.keys() if not name.endswith(COUNTER)}
    return (
        not missing
        and weights.keys() <= shapes.keys()
        and all(tuple(tensor.shape) == shapes[name] for name, tensor in weights.items())
    )


def _check_kinds(network: torch.nn.Module, weights: Weights, name: str, title: str) -> None:
    """Refuse whole numbers where an architecture has real ones: they would be taken as they are."""
    for key, expected in network.state_dict().items():
        found = weights.get(key)
        if found is not None and expected.is_floating_point() and not found.is_floating_point():
            kind = str(found.dtype).removeprefix("torch.")
            raise ModelError(
                f"{title} holds {kind} values in {cleaned(key)!r}, where {name} has floats; save "
                "the weights as they were before they were quantized."
            )


def _filled(network: torch.nn.Module, weights: Weights) -> torch.nn.Module:
    filled = {**network.state_dict(), **weights}
    network.load_state_dict(filled)
    return network


def _misfit(weights: Weights, known: Mapping[str, Mapping[str, tuple[int, ...]]]) -> str:
    """Why the weights belong to no architecture: the closest ones, and a difference."""
    closeness = {name: _closeness(weights, shapes) for name, shapes in known.items()}
    close = sorted((name for name in known if closeness[name]), key=lambda n: -closeness[n])
    if not close:
        return f" ({', '.join(known) or 'none'})"
    names = ", ".join(close[:MOST_NAMED])
    return f"; the closest are {names}, but {_difference(weights, known[close[0]])}"


def _closeness(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """The share of names that both have."""
    return len(weights.keys() & shapes.keys()) / len(weights.keys() | shapes.keys())


def _difference(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> str:
    for name, shape in shapes.items():
        if name in weights and tuple(weights[name].shape) != shape:
            return f"{name} is {_by(tuple(weights[name].shape))} instead of {_by(shape)}"
    missing = sorted(name for name in shapes.keys() - weights.keys() if not name.endswith(COUNTER))
    if missing:
        return f"{missing[0]} is missing"
    return f"{cleaned(min(weights.keys() - shapes.keys()))} is not part of it"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape[:8]) or "one number"
