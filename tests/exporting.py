"""Networks as ONNX files, by both exporters of torch, each made once per session.

The exporter on `torch.export` ("new") writes opset 18 and raises or lowers that file to the one
asked for: up to 23 always, down to 15 where the graph has no reduction, else not at all. The one on
TorchScript ("old") writes each opset from 13 directly, but no
`scaled_dot_product_attention` below 14.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import onnx
import torch
from families import FAMILIES
from families.two_stage import two_stage
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]


@contextmanager
def quiet() -> Iterator[None]:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused kernel has no ONNX form
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        torch.backends.mha.set_fastpath_enabled(fast)


def export_new(
    module: nn.Module, inputs: Inputs, opset: int, open_batch: bool = True, open_axes: int = 1
) -> bytes:
    """By `torch.onnx.export(dynamo=True)`, the first axes of every input left open."""
    with quiet():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=_shapes(inputs, open_axes) if open_batch else None,
            verbose=False,
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _shapes(inputs: Inputs, open_axes: int) -> tuple[dict[int, Any], ...]:
    if open_axes == 1:
        batch = torch.export.Dim("batch")
        return tuple({0: batch} for _ in inputs)
    return tuple(dict.fromkeys(range(open_axes), torch.export.Dim.AUTO) for _ in inputs)


def export_old(module: nn.Module, inputs: Inputs, opset: int, open_batch: bool = True) -> bytes:
    """By `torch.onnx.export(dynamo=False)`, the first dimension of every input left open."""
    file = io.BytesIO()
    names = [f"input{index}" for index in range(len(inputs))]
    with quiet():
        torch.onnx.export(
            module,
            inputs,
            file,  # type: ignore[arg-type]  # its documentation allows a stream here
            dynamo=False,
            opset_version=opset,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names} if open_batch else None,
        )
    return file.getvalue()


EXPORTERS: dict[str, Callable[..., bytes]] = {"new": export_new, "old": export_old}


BY_HAND: dict[str, Callable[[], bytes]] = {
    "two_stage": lambda: two_stage(nms_first=False),
    "two_stage_suppressed": lambda: two_stage(nms_first=True),
}


@cache
def exported(name: str, exporter: str, opset: int) -> bytes:
    """A family as a file; the opset may be another one than asked for (see `opset_of`)."""
    if name in BY_HAND:
        return BY_HAND[name]()
    family = FAMILIES[name]
    return EXPORTERS[exporter](family.module, family.inputs(), opset, family.open_batch)


def opset_of(data: bytes) -> int:
    """The version of the standard operators that a file uses."""
    imports = onnx.load_model_from_string(data).opset_import
    found: int = next(entry.version for entry in imports if entry.domain in ("", "ai.onnx"))
    return found
