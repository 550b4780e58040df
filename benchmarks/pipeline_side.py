"""The usual pipeline: Torch-Pruning + thop + torch.onnx.export + ONNX Runtime."""

import copy
import logging
import time
import warnings

import numpy as np
import onnxruntime as ort
import torch
import torch_pruning
from torch import nn

from benchmarks.timing import SAMPLES, SCORED

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it still asks distutils for versions
    import thop

TIMED_S = 0.5


class PipelineSide:
    """From the torch module; `shape` is that of one input."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        self.module, self.example = module.eval(), torch.randn(1, *shape)
        self.two = torch.randn(2, *shape)
        images = np.load(SAMPLES / "fashion_test.npz")["x"]
        self.images = images[:SCORED].astype(np.float32)

    def profile(self, ratio: float) -> None:
        pruned = copy.deepcopy(self.module)
        head = [layer for layer in pruned.modules() if isinstance(layer, nn.Linear)][-1]
        torch_pruning.pruner.MagnitudePruner(
            pruned,
            self.example,
            torch_pruning.importance.MagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=ratio,
            round_to=8,
            ignored_layers=[head],
        ).step()
        thop.profile(copy.deepcopy(pruned), inputs=(self.example,), verbose=False)
        self.pruned = pruned

    def file(self) -> None:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                self.pruned,
                (self.two,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
        logging.disable(logging.NOTSET)
        assert program is not None
        self.data = program.model_proto.SerializeToString()

    def latency(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(self.data, options, providers=["CPUExecutionProvider"])
        feed = {self.session.get_inputs()[0].name: self.example.numpy()}
        stop = time.perf_counter() + TIMED_S
        while time.perf_counter() < stop:
            self.session.run(None, feed)

    def accuracy(self) -> None:
        self.session.run(None, {self.session.get_inputs()[0].name: self.images})
