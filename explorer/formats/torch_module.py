"""PyTorch modules to ONNX, once, at the door. Only `torch_*.py` here import torch."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from explorer.errors import ModelError
from explorer.formats.onnx_file import OnnxFile, bare_proto, load

FAILURES = (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError)


def export(module: Any, example_inputs: Any, name: str) -> OnnxFile:
    """Export a `torch.nn.Module` in evaluation mode; the module itself stays as it was.

    `example_inputs` is a tensor, or a tuple of all arguments.

    The first dimension of every example input is left open where the module allows it.

    Raises:
        ModelError: `module` is no module, or torch can't export it.
    """
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"{type(module).__name__} is not a torch.nn.Module; pass the module itself."
        )
    inputs = (example_inputs,) if torch.is_tensor(example_inputs) else tuple(example_inputs)
    training = module.training
    module.eval()
    try:
        graph_model = _export_open_batch(module, inputs)
    except FAILURES as error:
        raise ModelError(
            f"torch can't export {type(module).__name__} to ONNX with these example inputs; "
            "torch.onnx.export(module, inputs, dynamo=True) shows where it stops."
        ) from error
    finally:
        module.train(training)
    return finished(graph_model, name)


def finished(graph_model: ir.Model, name: str) -> OnnxFile:
    """The model of an exported graph, which passes all checks on ONNX files.

    Raises:
        ModelError: what torch wrote is refused by `load`.
    """
    _forget_the_machine(graph_model)
    return load(bare_proto(graph_model).SerializeToString(), name)


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings and logs: it tells at each export that torchvision isn't there.

    Its exporter of TorchScript would also print the graph to the standard output.
    """
    logging.disable(logging.WARNING)
    prints = torch._C._jit_is_onnx_log_enabled()
    torch._C._jit_set_onnx_log_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_set_onnx_log_enabled(prints)
        logging.disable(logging.NOTSET)


def _forget_the_machine(graph_model: ir.Model) -> None:
    """Drop the stack traces, with paths, that the exporter leaves behind."""
    ClearMetadataAndDocStringPass()(graph_model)
    graph_model.metadata_props.clear()
    graph = graph_model.graph
    values = [*graph.inputs, *graph.initializers.values()]
    values += [value for node in graph for value in node.outputs]
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None


def _export_open_batch(module: torch.nn.Module, inputs: tuple[Any, ...]) -> ir.Model:
    batch = torch.export.Dim("batch")
    open_batch = tuple({0: batch} if torch.is_tensor(x) and x.dim() else None for x in inputs)
    try:
        return _export(module, inputs, open_batch)
    except FAILURES:
        return _export(module, inputs, None)  # the module insists on one batch size


def _export(module: torch.nn.Module, inputs: tuple[Any, ...], shapes: Any) -> ir.Model:
    with quiet():
        program = torch.onnx.export(
            module, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False
        )
    assert program is not None
    return program.model
