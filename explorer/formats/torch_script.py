"""TorchScript to ONNX: run once on example inputs, exported, and compared with what torch gives."""

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch
from torch.utils._pytree import tree_leaves

from explorer.errors import ModelError
from explorer.formats.archive import Archive
from explorer.formats.onnx_file import OnnxFile
from explorer.formats.pickles import recorded_tensors
from explorer.formats.signatures import EXPORT_HINT
from explorer.formats.torch_module import finished
from explorer.formats.torch_words import in_own_words
from explorer.names import cleaned

OPSET = 17  # the one that torch's exporter of TorchScript is made for
MOST_NUMBERS = 2**26  # in all example inputs
MOST_GUESSED = 4  # inputs whose types are tried in all combinations
TYPES = (torch.float32, torch.int64)  # what an input may be of, in the order of trying
TOLERANCE = 1e-3  # of the largest output
MOST_SHOWN = 6  # names of inputs, in a message
BATCH = "batch"
RECORD = "traced_inputs.pkl"  # what torch.jit.trace leaves of its example inputs
PREFIX = "network."
Shapes = tuple[tuple[int, ...], ...]
Tensors = tuple[torch.Tensor, ...]


class Flat(torch.nn.Module):
    """A network with its outputs in one row, and with the defaults of all other arguments."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> Tensors:
        """The tensors among the outputs."""
        leaves = tree_leaves(self.network(*inputs))
        return tuple(leaf for leaf in leaves if torch.is_tensor(leaf))


def convert_script(
    path: Path, title: str, shapes: Shapes | None
) -> tuple[OnnxFile, tuple[str, ...]]:
    """The model of a TorchScript file, and notes on how it was read.

    Raises:
        ModelError: it can't be read, its input shapes aren't known, or ONNX can't say the same.
    """
    flat, names, inputs = open_script(path, title, shapes)
    file, is_open = _exported(flat, inputs, names, title)
    return file, _notes(inputs, is_open, shapes is None)


def open_script(path: Path, title: str, shapes: Shapes | None) -> tuple[Flat, list[str], Tensors]:
    """The network of a file, the names of its inputs, and inputs that it has been run on.

    Raises:
        ModelError: it can't be read or run, or its input shapes aren't known.
    """
    broken = f"{title} is a TorchScript file that torch can't read; save it again."
    with in_own_words(title, broken):
        network = torch.jit.load(str(path), map_location="cpu").eval()
    names = _inputs(network, title)
    if shapes is not None and len(shapes) != len(names):
        raise ModelError(f"{title} takes {_listed(names)}, but {len(shapes)} shapes were given.")
    recorded = _recorded(path, title) if shapes is None else ()
    if shapes is None and len(recorded) != len(names):
        raise ModelError(
            f"{title} takes {_listed(names)} and doesn't record their shapes; give the shape of "
            "one input, such as 1x3x224x224, or of each."
        )
    _check_size([shape for _, shape in recorded] if shapes is None else shapes, title)
    flat = Flat(network).eval()  # the exporter takes over the mode of what it is given
    examples = _recorded_examples(recorded) if shapes is None else _examples(shapes)
    return flat, names, _first_that_runs(flat, examples, title)


def _inputs(network: Any, title: str) -> list[str]:
    """Names of the arguments without a default, all of which must be tensors."""
    with in_own_words(title, f"{title} is TorchScript without a forward method, so no network."):
        arguments = network.forward.schema.arguments[1:]
    needed = [each for each in arguments if not each.has_default_value()]
    if not needed or any(str(each.type) != "Tensor" for each in needed):
        raise ModelError(
            f"{title} is TorchScript whose arguments aren't all tensors; trace it with "
            "torch.jit.trace(module, example) and save that."
        )
    return [str(each.name) for each in needed]


def _check_size(shapes: Sequence[tuple[int, ...]], title: str) -> None:
    if any(dim < 1 for shape in shapes for dim in shape):
        raise ModelError(
            f"{title} needs inputs of at least 1 in each dimension, such as 1x3x32x32."
        )
    if sum(math.prod(shape) for shape in shapes) > MOST_NUMBERS:
        raise ModelError(f"{title} would be run on inputs that are too large; give smaller shapes.")


def _recorded(path: Path, title: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    archive = Archive(path, title, ModelError)
    place = next((name for name in archive.names if name.endswith(f"/{RECORD}")), None)
    return recorded_tensors(archive.read(place), title) if place else ()


def _recorded_examples(recorded: tuple[tuple[str, tuple[int, ...]], ...]) -> Iterator[Tensors]:
    types = [getattr(torch, name, torch.float32) for name, _ in recorded]
    yield _example(tuple(shape for _, shape in recorded), types)


def _examples(shapes: Shapes) -> Iterator[Tensors]:
    """Inputs of the shapes given, first all of them floats, then ever more of them integers."""
    count = len(shapes)
    mixed = itertools.product(TYPES, repeat=count) if count <= MOST_GUESSED else []
    alike = [(each,) * count for each in TYPES]
    for types in sorted(mixed or alike, key=lambda types: types.count(torch.int64)):
        yield _example(shapes, types)


def _example(shapes: Shapes, types: Any) -> Tensors:
    """Random numbers; integers are 0 or 1, which every table of an embedding has."""
    random = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(shape, generator=random).to(each)
        if each.is_floating_point
        else torch.randint(0, 2, shape, generator=random).to(each)
        for shape, each in zip(shapes, types, strict=True)
    )


def _first_that_runs(flat: Flat, examples: Iterator[Tensors], title: str) -> Tensors:
    shapes = ""
    for inputs in examples:
        shapes = _shapes(inputs)
        try:
            with in_own_words(title, ""):
                if flat(*inputs):
                    return inputs
        except ModelError:
            continue
    raise ModelError(
        f"{title} doesn't run on inputs of {shapes}; give the shape of one input that it takes, "
        "such as 1x3x224x224."
    )


def _exported(flat: Flat, inputs: Tensors, names: list[str], title: str) -> tuple[OnnxFile, bool]:
    """The model, its batch left open if it gives what torch gives at another batch too."""
    sentence = f"{title} uses an operation that torch can't write as ONNX; {EXPORT_HINT}."
    other = tuple(torch.cat([each, each[:1]]) if each.dim() else each for each in inputs)
    for is_open in (True, False):
        try:
            with in_own_words(title, sentence):
                data = _written(flat, inputs, names, is_open)
                if _agrees(data, flat, inputs) and (not is_open or _agrees(data, flat, other)):
                    return finished(_renamed(data), title), is_open
        except ModelError:
            if not is_open:
                raise
    raise ModelError(f"{title} gives other outputs as ONNX than in torch, so it isn't opened.")


def _written(flat: Flat, inputs: Tensors, names: list[str], is_open: bool) -> bytes:
    traced = torch.jit.trace(flat, inputs, check_trace=False, strict=False)
    outputs = [f"output{index}" for index, _ in enumerate(flat(*inputs))]
    names = [f"{name}_" if name in outputs else name for name in names]
    with_batch = [name for name, each in zip(names, inputs, strict=True) if each.dim()]
    file: Any = io.BytesIO()  # torch writes to it, though its types say paths only
    torch.onnx.export(
        traced,
        inputs,
        file,
        dynamo=False,
        opset_version=OPSET,
        input_names=names,
        output_names=outputs,
        dynamic_axes={name: {0: BATCH} for name in with_batch} if is_open else None,
    )
    data: bytes = file.getvalue()
    return data


def _agrees(data: bytes, flat: Flat, inputs: Tensors) -> bool:
    """Whether ONNX Runtime gives what torch gives; False where one of them can't run."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        feed = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        found, expected = session.run(None, feed), [each.numpy() for each in flat(*inputs)]
        return all(_is_near(one, other) for one, other in zip(found, expected, strict=True))
    except Exception:  # noqa: BLE001 - either library may raise anything of its own
        return False


def _is_near(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    finite = np.abs(expected[np.isfinite(expected)])
    most = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(found, expected, rtol=0, atol=TOLERANCE * most, equal_nan=True))


def _renamed(data: bytes) -> ir.Model:
    """The graph with its weights named as they are in the network itself."""
    model = ir.from_proto(onnx.load_model_from_string(data))
    weights = model.graph.initializers
    for name, value in list(weights.items()):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in weights:
            value.name = name.removeprefix(PREFIX)
    return model


def _notes(inputs: Tensors, is_open: bool, is_recorded: bool) -> tuple[str, ...]:
    origin = "as the file records" if is_recorded else "as was said"
    notes = [
        f"Exported to ONNX from TorchScript, run on {_shapes(inputs)}, {origin}.",
        "The ONNX model gives what torch gives on random inputs.",
    ]
    if not is_open:
        notes.append(f"It takes only the batch that it was run on, {inputs[0].shape[0]}.")
    return tuple(notes)


def _listed(names: list[str]) -> str:
    shown = ", ".join(cleaned(name) for name in names[:MOST_SHOWN])
    return f"{len(names)} inputs ({shown})" if len(names) > 1 else f"one input ({shown})"


def _shapes(inputs: Tensors) -> str:
    each = ["x".join(str(dim) for dim in x.shape) or "one number" for x in inputs]
    types = [str(x.dtype).removeprefix("torch.") for x in inputs]
    return " and ".join(f"{shape} ({kind})" for shape, kind in zip(each, types, strict=True))
