"""Opening a model: reading the file, and checking once that our form of it computes the same."""

import os

from explorer.formats import onnx_file
from explorer.measure.fidelity import checked
from explorer.model import Model


def load(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Model:
    """Read an ONNX model from a path or from its bytes, called `name`, by default as its file.

    Weights in a side file are taken in when `source` is a path. The graph is rearranged for what
    follows; whether it still gives the outputs of the file is checked on random inputs, and where
    it doesn't, it stays as it is and `Model.remarks` says so.

    >>> import explorer
    >>> explorer.load("sample_models/fashion_mlp.onnx").inputs[0].shape
    ('batch', 1, 28, 28)

    Raises:
        ModelError: the file is missing, damaged, not ONNX, of an unknown opset, too large, breaks
            a rule of ONNX, or has weights that aren't numbers.
    """
    return checked(onnx_file.load(source, name))
