"""Networks that reshape, transpose, split, look up and multiply in random order."""

from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import explorer

BATCH, MOST = 2, 2048  # samples; elements of one tensor
Tensor = tuple[str, tuple[int, ...]]  # name and shape, with the batch


class MovingNetwork:
    """Builds an ONNX file block by block; `codes` choose the blocks, each a method `block_<code>`.

    Every tensor starts with the batch. What nobody reads goes through a layer of its own into the
    output.
    """

    def __init__(self, codes: str, seed: int, rank: int = 3) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.read: set[str] = set()
        shape = {2: (12,), 3: (6, 8), 4: (3, 4, 4)}[rank]
        self.live: list[Tensor] = []
        x: Tensor = ("x", (BATCH, *shape))
        self.live.append(self.layer(x, 8))
        for code in codes:
            source = self.pick()
            result = getattr(self, f"block_{code}")(source)
            if result is not None and prod(result[1]) <= MOST:
                self.live.append(result)
        self.model = self.finished(shape)

    def pick(self) -> Tensor:
        last = self.rng.random() < 0.75
        return self.live[-1 if last else int(self.rng.integers(len(self.live)))]

    def finished(self, shape: tuple[int, ...]) -> explorer.Model:
        heads = []
        for name, dims in self.live:
            if name not in self.read or name == self.live[-1][0]:
                flat = self.op("Flatten", [name], axis=1)
                heads.append(self.op("MatMul", [flat, self.weight(prod(dims[1:]), 5)]))
        y = self.op("Sum", heads)
        graph = helper.make_graph(
            self.nodes,
            "moving",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", 5])],
            self.tensors,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(proto, full_check=True)
        return explorer.load(proto.SerializeToString(), "moving")

    def choose(self, *of: Any) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def axis(self, shape: tuple[int, ...]) -> int:
        return int(self.rng.integers(1, len(shape)))

    def op(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> Any:
        names = [f"t{len(self.nodes)}" + "abcd"[i] for i in range(outputs)]
        self.read.update(inputs)
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names if outputs > 1 else names[0]

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.tensors)}"
        values = self.rng.standard_normal(shape) / np.sqrt(max(1, prod(shape[:-1])))
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def integers(self, *values: int) -> str:
        name = f"i{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def layer(self, x: Tensor, width: int) -> Tensor:
        """A convolution of four axes, else a matrix product."""
        name, shape = x
        if len(shape) == 4:
            y = self.op("Conv", [name, self.weight(width, shape[1], 1, 1), self.weight(width)])
            return y, (BATCH, width, *shape[2:])
        y = self.op("MatMul", [name, self.weight(shape[-1], width)])
        return y, (*shape[:-1], width)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """With the batch as 0 or -1, and at times one more size as 0 or -1."""
        target = [self.choose(0, -1), *shape[1:]]
        place = self.axis(shape) if len(shape) > 1 else 0
        if target[0] == 0 and place and self.choose(True, False):
            target[place] = -1
        same = [a for a in range(1, min(len(shape), len(x[1]))) if shape[a] == x[1][a]]
        if same and self.choose(True, False):
            target[self.choose(*same)] = 0
        return self.op("Reshape", [x[0], self.integers(*target)]), shape

    def transpose(self, x: Tensor, order: list[int]) -> Tensor:
        return self.op("Transpose", [x[0]], perm=order), tuple(x[1][axis] for axis in order)

    def block_m(self, x: Tensor) -> Tensor:
        y, shape = self.layer(x, self.choose(4, 6, 8, 12))
        return self.op(self.choose("Relu", "Tanh", "Sigmoid"), [y]), shape

    def block_b(self, x: Tensor) -> Tensor:
        """A matrix product with a bias or a scale of its own node."""
        name, shape = x
        y = self.op("MatMul", [name, self.weight(shape[-1], 8)])
        return self.op(self.choose("Add", "Mul", "Sub"), [y, self.weight(8)]), (*shape[:-1], 8)

    def block_l(self, x: Tensor) -> Tensor | None:
        """A constant from the left mixes the positions."""
        name, shape = x
        if len(shape) < 3:
            return None
        y = self.op("MatMul", [self.weight(6, shape[-2]), name])
        return y, (*shape[:-2], 6, shape[-1])

    def block_s(self, x: Tensor) -> Tensor:
        """Any reshape within a sample."""
        left, sizes = prod(x[1][1:]), list[int]()
        while left > 1 and len(sizes) < 3:
            sizes.append(self.choose(*(n for n in range(2, left + 1) if left % n == 0)))
            left //= sizes[-1]
        return self.reshape(x, (BATCH, *sizes, left) if left > 1 or not sizes else (BATCH, *sizes))

    def block_r(self, x: Tensor) -> Tensor | None:
        """One axis becomes two, as heads do."""
        axis = self.axis(x[1])
        parts = [n for n in range(2, x[1][axis]) if x[1][axis] % n == 0]
        if not parts or len(x[1]) > 4:
            return None
        part = self.choose(*parts)
        split = (part, x[1][axis] // part)
        return self.reshape(x, (*x[1][:axis], *split, *x[1][axis + 1 :]))

    def block_j(self, x: Tensor) -> Tensor | None:
        """Two axes become one."""
        if len(x[1]) < 3:
            return None
        axis = int(self.rng.integers(1, len(x[1]) - 1))
        return self.reshape(x, (*x[1][:axis], x[1][axis] * x[1][axis + 1], *x[1][axis + 2 :]))

    def block_f(self, x: Tensor) -> Tensor:
        """Samples and positions as rows of a matrix, and back."""
        name, shape = x
        rows = self.op("Reshape", [name, self.integers(-1, shape[-1])])
        y = self.op("Gemm", [rows, self.weight(shape[-1], 6), self.weight(6)])
        return self.op("Reshape", [y, self.integers(-1, *shape[1:-1], 6)]), (*shape[:-1], 6)

    def block_t(self, x: Tensor) -> Tensor:
        order = self.rng.permutation(np.arange(1, len(x[1]))).tolist()
        return self.transpose(x, [0, *order])

    def block_p(self, x: Tensor) -> Tensor | None:
        """Parts of an axis, in another order or one upon the other."""
        name, shape = x
        axis = self.axis(shape)
        size = shape[axis]
        if size < 2:
            return None
        first = size // 2 if self.choose(True, False) else int(self.rng.integers(1, size))
        left, right = self.op(
            "Split", [name, self.integers(first, size - first)], outputs=2, axis=axis
        )
        if first * 2 == size and self.choose(True, False):
            op = self.choose("Add", "Mul", "Max")
            return self.op(op, [left, right]), (*shape[:axis], first, *shape[axis + 1 :])
        self.live.append((left, (*shape[:axis], first, *shape[axis + 1 :])))
        return self.op("Concat", [right, left], axis=axis), shape

    def block_i(self, x: Tensor) -> Tensor:
        """A slice, from either side."""
        name, shape = x
        axis = self.axis(shape)
        first, last = sorted(self.rng.choice(shape[axis] + 1, 2, replace=False).tolist())
        places = (first, last) if self.choose(True, False) else (first - shape[axis], 2**40)
        taken = len(range(shape[axis])[slice(*places)])
        inputs = [self.integers(places[0]), self.integers(places[1]), self.integers(axis)]
        return self.op("Slice", [name, *inputs]), (*shape[:axis], taken, *shape[axis + 1 :])

    def block_h(self, x: Tensor) -> Tensor:
        """Indices in any order, each as often as it comes."""
        name, shape = x
        axis = self.axis(shape)
        count = int(self.rng.integers(1, shape[axis] + 2))
        places = self.rng.permutation(shape[axis])[:count]
        if self.choose(True, False):
            places = self.rng.integers(-shape[axis], shape[axis], count)
        y = self.op("Gather", [name, self.integers(*places.tolist())], axis=axis)
        return y, (*shape[:axis], len(places), *shape[axis + 1 :])

    def block_k(self, x: Tensor) -> Tensor:
        """Behind another tensor, or behind itself."""
        name, shape = x
        axis = self.axis(shape)
        around = (shape[:axis], shape[axis + 1 :])
        alike = [t for t in self.live if len(t[1]) == len(shape)]
        fitting = [t for t in alike if (t[1][:axis], t[1][axis + 1 :]) == around]
        other, dims = self.choose(*fitting)
        y = self.op("Concat", [other, name], axis=axis)
        return y, (*shape[:axis], shape[axis] + dims[axis], *shape[axis + 1 :])

    def block_a(self, x: Tensor) -> Tensor:
        """With another tensor that broadcasts, or with itself."""
        name, shape = x
        fitting = [t for t in self.live if _broadcasts(t[1], shape)]
        pair = [self.choose(*fitting)[0], name]
        op = self.choose("Add", "Mul", "Sub", "Max")
        return self.op(op, pair if self.choose(True, False) else pair[::-1]), shape

    def block_z(self, x: Tensor) -> Tensor:
        """With a constant that varies along some of the axes."""
        name, shape = x
        dims = [size if self.choose(True, False) else 1 for size in (1, *shape[1:])]
        if self.choose(True, False):
            dims = dims[1:]
        op = self.choose("Add", "Mul", "PRelu")
        return self.op(op, [name, self.weight(*dims)]), shape

    def block_q(self, x: Tensor) -> Tensor | None:
        """Attention of a tensor to itself, by three projections."""
        name, shape = x
        if len(shape) not in (3, 4):
            return None
        q, k, v = (self.op("MatMul", [name, self.weight(shape[-1], 8)]) for _ in range(3))
        positions = shape[-2]
        if len(shape) == 3:
            heads = self.integers(0, positions, 2, 4)
            q, k, v = (self.op("Reshape", [part, heads]) for part in (q, k, v))
            q, v = (self.op("Transpose", [part], perm=[0, 2, 1, 3]) for part in (q, v))
            k = self.op("Transpose", [k], perm=[0, 2, 3, 1])
        else:
            k = self.op("Transpose", [k], perm=[0, 1, 3, 2])
        p = self.op("Softmax", [self.op("MatMul", [q, k])], axis=-1)
        y = self.op("MatMul", [p, v])
        if len(shape) == 3:
            y = self.op("Transpose", [y], perm=[0, 2, 1, 3])
            y = self.op("Reshape", [y, self.integers(0, positions, 8)])
        return y, (*shape[:-1], 8)

    def block_y(self, x: Tensor) -> Tensor | None:
        """A product of two tensors of activations."""
        name, shape = x
        if len(shape) < 3:
            return None
        order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        other = self.choose(*(t for t in self.live if t[1] == shape))
        turned, _ = self.transpose(other, order)
        if self.choose(True, False):
            return self.op("MatMul", [name, turned]), (*shape[:-1], shape[-2])
        return self.op("MatMul", [turned, name]), (*shape[:-2], shape[-1], shape[-1])

    def block_e(self, x: Tensor) -> Tensor:
        """Scaled by what an axis holds on the whole."""
        name, shape = x
        axes = [self.axis(shape)]
        op = self.choose("ReduceMean", "ReduceMax", "ReduceL2", "ReduceSum")
        if op == "ReduceSum":
            y = self.op(op, [name, self.integers(*axes)], keepdims=1)
        else:
            y = self.op(op, [name], axes=axes, keepdims=1)
        return self.op("Mul", [name, y]), shape

    def block_d(self, x: Tensor) -> Tensor | None:
        """An axis less."""
        name, shape = x
        if len(shape) < 3:
            return None
        axis = self.axis(shape)
        op = self.choose("ReduceMean", "ReduceMax")
        y = self.op(op, [name], axes=[axis - len(shape)], keepdims=0)
        return y, (*shape[:axis], *shape[axis + 1 :])

    def block_n(self, x: Tensor) -> Tensor:
        name, shape = x
        axis = self.axis(shape)
        scale = self.weight(*shape[axis:])
        return self.op("LayerNormalization", [name, scale], axis=axis), shape

    def block_x(self, x: Tensor) -> Tensor:
        return self.op("Softmax", [x[0]], axis=self.axis(x[1])), x[1]

    def block_u(self, x: Tensor) -> Tensor:
        """A new axis, repeated."""
        name, shape = x
        axis = int(self.rng.integers(1, len(shape) + 1))
        y = self.op("Unsqueeze", [name, self.integers(axis)])
        whole = (*shape[:axis], 3, *shape[axis:])
        times = [3 if a == axis else 1 for a in range(len(whole))]
        return self.op(self.choose("Expand", "Tile"), [y, self.integers(*times)]), whole

    def block_w(self, x: Tensor) -> Tensor:
        """An axis twice."""
        axis = self.axis(x[1])
        times = [2 if a == axis else 1 for a in range(len(x[1]))]
        y = self.op("Tile", [x[0], self.integers(*times)])
        return y, (*x[1][:axis], 2 * x[1][axis], *x[1][axis + 1 :])

    def block_g(self, x: Tensor) -> Tensor | None:
        """A grouped or a depthwise convolution of whatever lies on axis 1."""
        name, shape = x
        if len(shape) not in (3, 4):
            return None
        channels = shape[1]
        groups = self.choose(*(n for n in range(1, channels + 1) if channels % n == 0))
        width = groups * self.choose(1, 2)
        kernel = [1] * (len(shape) - 2)
        weight = self.weight(width, channels // groups, *kernel)
        return self.op("Conv", [name, weight], group=groups), (BATCH, width, *shape[2:])

    def block_o(self, x: Tensor) -> Tensor | None:
        """Normalised by groups of whatever lies on axis 1."""
        name, shape = x
        if len(shape) != 4:
            return None
        groups = self.choose(*(n for n in range(1, shape[1] + 1) if shape[1] % n == 0))
        y = self.op("Reshape", [name, self.integers(0, groups, -1)])
        y = self.op("InstanceNormalization", [y, self.weight(groups), self.weight(groups)])
        return self.op("Reshape", [y, self.integers(0, *shape[1:])]), shape

    def block_v(self, x: Tensor) -> Tensor | None:
        """Squares of channels to pixels, or the other way."""
        name, (*_, channels, height, width) = x[0], (0, *x[1])
        if len(x[1]) != 4:
            return None
        if channels % 4 == 0 and self.choose(True, False):
            y = self.op("DepthToSpace", [name], blocksize=2, mode=self.choose("DCR", "CRD"))
            return y, (BATCH, channels // 4, height * 2, width * 2)
        if height % 2 or width % 2:
            return None
        y = self.op("SpaceToDepth", [name], blocksize=2)
        return y, (BATCH, channels * 4, height // 2, width // 2)

    def block_P(self, x: Tensor) -> Tensor:  # noqa: N802
        """One more at the end of an axis."""
        axis = self.axis(x[1])
        pads = [0] * (2 * len(x[1]))
        pads[len(x[1]) + axis] = 1
        y = self.op("Pad", [x[0], self.integers(*pads)])
        return y, (*x[1][:axis], x[1][axis] + 1, *x[1][axis + 1 :])


def _broadcasts(dims: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(dims) == len(to) and all(a in (b, 1) for a, b in zip(dims, to, strict=True))


CODES = "".join(sorted(name[-1] for name in dir(MovingNetwork) if name.startswith("block_")))
