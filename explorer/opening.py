"""Opening a model: reading the file, checking that our form of it computes the same, sizing it."""

import os
from collections.abc import Mapping, Sequence
from operator import index

from explorer.errors import ModelError
from explorer.formats import onnx_file
from explorer.graph.shapes import check_sizes, infer_shapes, sizes_by_running
from explorer.graph.shapes import input_sizes as sizes_of
from explorer.measure.fidelity import checked, expected_outputs
from explorer.measure.runtime import runs_with
from explorer.model import Model
from explorer.names import cleaned
from explorer.network import Shape


def load(
    source: str | os.PathLike[str] | bytes,
    name: str | None = None,
    input_sizes: Mapping[str, Sequence[int]] | None = None,
) -> Model:
    """Read an ONNX model from a path or from its bytes, called `name`, by default as its file.

    Weights in a side file are taken in when `source` is a path. The graph is rearranged for what
    follows; whether it still gives the outputs of the file is checked on random inputs, and where
    it doesn't, it stays as it is and `Model.remarks` says so.

    `input_sizes` are shapes of inputs by name, batch included: everything is then counted, timed
    and made up with these, and the file stays as it is. Dimensions that they leave open get sizes
    that the graph can run with.

    >>> import explorer
    >>> path = "sample_models/fashion_mlp.onnx"
    >>> explorer.load(path).inputs[0].shape
    ('batch', 1, 28, 28)
    >>> model = explorer.load(path, input_sizes={"image": (2, 1, 28, 28)})
    >>> explorer.profile(model).input_sizes
    {'image': (2, 1, 28, 28)}

    Raises:
        ModelError: the file is missing, damaged, not ONNX, of an unknown opset, too large, breaks
            a rule of ONNX, or has weights that aren't numbers; or there is no such input, its
            dimensions are others, or the network can't run with them.
    """
    return opened(onnx_file.load(source, name), input_sizes)


def opened(
    file: onnx_file.OnnxFile, input_sizes: Mapping[str, Sequence[int]] | None = None
) -> Model:
    """The same for a file that was read already.

    Raises:
        ModelError: the graph gives other outputs, or as for the sizes of `load`.
    """
    model = checked(sized(Model.of_file(file), input_sizes))
    return model if input_sizes else _runnable(model)


def _runnable(model: Model) -> Model:
    """At other input sizes where the runtime refuses those that inference likes."""
    is_open = any(isinstance(dim, str) for spec in model.inputs for dim in spec.shape)
    if not is_open or expected_outputs(model) is not None or runs_with(model, sizes_of(model)):
        return model
    sizes = sizes_by_running(model)
    return checked(model.with_changes(input_sizes=sizes)) if sizes is not None else model


def sized(model: Model, input_sizes: Mapping[str, Sequence[int]] | None = None) -> Model:
    """A model that was just read, with input sizes that are found by trial, or these.

    Raises:
        ModelError: there is no such input, its dimensions are others, or the network can't run
            with them.
    """
    opened = model.with_changes(runs_with=runs_with)
    return _at_sizes(opened, input_sizes) if input_sizes else opened


def _at_sizes(model: Model, sizes: Mapping[str, Sequence[int]]) -> Model:
    shapes = {name: _shape(name, shape) for name, shape in sizes.items()}
    changed = model.with_changes(input_sizes=shapes)
    check_sizes(model, shapes)
    asked = [f"{cleaned(name)} of {' x '.join(map(str, s))}" for name, s in shapes.items()]
    refused = ModelError(f"{model.name} can't run with {' and '.join(asked)}; set other sizes.")
    try:
        inferred = infer_shapes(changed)
    except ModelError as error:
        raise refused from error
    is_doubtful = bool(inferred.misfits or inferred.unknown)
    if is_doubtful and not runs_with(changed, sizes_of(changed)):
        raise refused
    return changed


def _shape(name: str, shape: Sequence[int]) -> Shape:
    try:
        return tuple(index(size) for size in shape)
    except TypeError as error:
        raise ModelError(
            f"The size of input {cleaned(name)!r} is {cleaned(str(shape))}; it must be whole "
            "numbers, one for each dimension."
        ) from error
