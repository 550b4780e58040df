"""How plan and profile grow with the network: parameters, image size, nodes, bytes.

    python -m benchmarks.scale [resnet_224] [resnet_1024] [transformer] [nodes] [gigabyte]

Each network is written by a process of its own and read by another one, which prints the time to
load it, to plan and profile it for the first time, and the median for each later recipe, with the
largest memory that it took.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import explorer
from benchmarks.timing import ROOT
from explorer import Recipe

FIRST_RATIO = 0.5
LATER_RATIOS = (0.3, 0.4, 0.6, 0.35, 0.55, 0.45, 0.25)
MANY_NODES = 20_000
WIDE = 4096
WIDE_LAYERS = 16  # of WIDE x WIDE float32: 1.07 GB


def main() -> None:
    """Print one row per network, for all or those that are named."""
    print("| network | parameters | file | load | first | later | peak memory |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in sys.argv[1:] or list(NETWORKS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.onnx"
            for action in ("write", "read"):
                command = [sys.executable, "-m", "benchmarks.scale", action, name, str(path)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
            row = json.loads(done.stdout)
            cells = [
                name,
                f"{row['params'] / 1e6:.1f} M",
                f"{row['bytes'] / 1e6:.0f} MB",
                f"{row['load_s']:.2f} s",
                f"{row['first_s']:.2f} s",
                f"{1000 * row['later_s']:.0f} ms",
                f"{row['peak_bytes'] / 2**30:.1f} GiB",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def read(path: Path) -> dict[str, float]:
    """Load, plan and profile a network; seconds and bytes."""
    started = time.perf_counter()
    model = explorer.load(path)
    loaded = time.perf_counter()
    profile = explorer.profile(model, gzipped=False)
    explorer.estimate(model, explorer.plan(model, _recipe(FIRST_RATIO)))
    first = time.perf_counter()
    later = []
    for ratio in LATER_RATIOS:
        again = time.perf_counter()
        explorer.estimate(model, explorer.plan(model, _recipe(ratio)))
        later.append(time.perf_counter() - again)
    return {
        "params": profile.params,
        "bytes": profile.file_bytes,
        "load_s": loaded - started,
        "first_s": first - loaded,
        "later_s": statistics.median(later),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _recipe(ratio: float) -> Recipe:
    return Recipe(pattern="channel", ratio=ratio, weight_bits=8)


def write_resnet(path: Path, pixels: int) -> None:
    """A ResNet-50, by torch's exporter."""
    import torch

    from benchmarks.networks import resnet50

    explorer.Model.from_torch(resnet50().eval(), (torch.zeros(1, 3, pixels, pixels),)).save(path)


def write_transformer(path: Path) -> None:
    """Twelve layers of width 768 and 20,000 words, by torch's exporter."""
    import torch

    from benchmarks.networks import Encoder

    tokens = torch.zeros(1, 128, dtype=torch.int64)
    explorer.Model.from_torch(Encoder(words=20_000, width=768, layers=12).eval(), (tokens,)).save(
        path
    )


def write_nodes(path: Path) -> None:
    """Residual blocks of two convolutions of 8 channels, over and over."""
    rng = np.random.default_rng(0)
    nodes, tensors, x = [], [], "x"
    for block in range(MANY_NODES // 5):
        for conv in "ab":
            weight = rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
            tensors.append(numpy_helper.from_array(weight, f"{block}{conv}.weight"))
        names = [f"{block}{part}" for part in ("conv_a", "relu_a", "conv_b", "sum", "relu_b")]
        inputs = [(x, f"{block}a.weight"), names[:1], (names[1], f"{block}b.weight")]
        inputs += [(x, names[2]), names[3:4]]
        for op, name, read_names in zip(
            ("Conv", "Relu", "Conv", "Add", "Relu"), names, inputs, strict=True
        ):
            pads: dict[str, Any] = {"pads": [1, 1, 1, 1]} if op == "Conv" else {}
            nodes.append(helper.make_node(op, list(read_names), [name], name=name, **pads))
        x = names[4]
    _save(path, nodes, tensors, ["n", 8, 16, 16], x)


def write_gigabyte(path: Path) -> None:
    """A plain network of wide layers."""
    rng = np.random.default_rng(0)
    nodes, tensors, x = [], [], "x"
    for layer in range(WIDE_LAYERS):
        weight = rng.standard_normal((WIDE, WIDE), dtype=np.float32)
        tensors.append(numpy_helper.from_array(weight, f"{layer}.weight"))
        nodes.append(helper.make_node("MatMul", [x, f"{layer}.weight"], [f"h{layer}"]))
        nodes.append(helper.make_node("Relu", [f"h{layer}"], [f"r{layer}"]))
        x = f"r{layer}"
    _save(path, nodes, tensors, ["n", WIDE], x)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    tensors: list[onnx.TensorProto],
    shape: list[int | str],
    output: str,
) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", output)
    ]
    graph = helper.make_graph(nodes, "large", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


NETWORKS: dict[str, Callable[[Path], None]] = {
    "resnet_224": lambda path: write_resnet(path, 224),
    "resnet_1024": lambda path: write_resnet(path, 1024),
    "transformer": write_transformer,
    "nodes": write_nodes,
    "gigabyte": write_gigabyte,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        NETWORKS[sys.argv[2]](Path(sys.argv[3]))
    elif sys.argv[1:2] == ["read"]:
        print(json.dumps(read(Path(sys.argv[3]))))
    else:
        main()
