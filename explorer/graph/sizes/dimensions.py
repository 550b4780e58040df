"""Names of dimensions: sums and products of other names, and what a name says it counts.

Exporters write `batch_size`, `2*n`, `past_sequence_length + 1` or `((s77 + 1)//2)`; a dimension of
zero or less, and names such as `?`, only say that it is open.
"""

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from explorer.graph.sizes.dimension_kinds import Kind

NAMELESS = "?"  # how the symbols of dimensions begin that have no name
LONGEST_NAME = 200  # characters; a longer one is no formula
LARGEST_SIZE = 2**31
LIKELY_SIZE = 224  # at which a formula must have a size
WITHOUT_MEANING = frozenset({"", "?", "none", "unknown", "unk", "dynamic", "dyn", "any"})
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Div: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
FUNCTIONS: dict[str, Callable[..., int]] = {
    "max": max,
    "min": min,
    "floor": lambda value: value,
    "ceil": lambda value: value,
    "ceiling": lambda value: value,
}

# Words in the names of dimensions; what is found first decides.
WORDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    (Kind.BATCH, frozenset("batch bs b batchsize bsz minibatch".split())),
    (Kind.IMAGE, frozenset("height width h w pixels imgsz".split())),
    (Kind.LENGTH, frozenset("frame frames token tokens text chars words".split())),
    (Kind.WAVE, frozenset("samples sample audio waveform wav wave signal pcm".split())),
    (Kind.LENGTH, frozenset("seq sequence sequences seqlen len length time timesteps".split())),
    (Kind.LENGTH, frozenset("steps step t s l position positions ctx context".split())),
    (Kind.LENGTH, frozenset("past cache kv total".split())),
    (Kind.CHANNELS, frozenset("channel channels c ch feature features".split())),
)
PAST, TOTAL = frozenset({"past", "cache"}), frozenset({"total"})
NUMBERED = re.compile(r"[A-Za-z]{1,2}\d+")  # as torch numbers the dimensions that it meets


@dataclass(frozen=True)
class Formula:
    """A dimension in terms of `symbols`; a lone symbol where it is one."""

    text: str
    symbols: tuple[str, ...]
    tree: ast.expr | None = None

    @property
    def is_symbol(self) -> bool:
        """True where it is nothing but a name."""
        return self.tree is None

    def value(self, sizes: Mapping[str, int]) -> int:
        """The size that follows from those of the symbols; 0 where none does."""
        if self.tree is None:
            return sizes[self.text]
        try:
            size = _evaluate(self.tree, sizes)
        except (ZeroDivisionError, TypeError, RecursionError):
            return 0
        return size if 0 < size < LARGEST_SIZE else 0


def words_of(name: str) -> frozenset[str]:
    """The words in a name, in lower case."""
    return frozenset(word.lower() for word in WORD.findall(name))


def kind_named(name: str) -> Kind | None:
    """What a name says that its dimension counts."""
    if name.startswith(NAMELESS) or NUMBERED.fullmatch(name):
        return None
    words = words_of(name)
    return next((kind for kind, known in WORDS if words & known), None)


def size_of(dim: int | ir.SymbolicDim) -> int | None:
    """The size that a file fixes; None where it leaves the dimension open."""
    return dim if isinstance(dim, int) and dim > 0 else None


def name_of(dim: int | ir.SymbolicDim) -> str | None:
    """The name of an open dimension; None where it has none that tells it from others."""
    text = str(dim.value).strip() if isinstance(dim, ir.SymbolicDim) and dim.value else ""
    is_number = re.fullmatch(r"-?\d+", text) is not None
    return None if is_number or text.lower() in WITHOUT_MEANING else text


def read_formulas(names: Iterable[str]) -> dict[str, Formula]:
    """Each name as a formula of the others, where it is one."""
    parsed = {name: _parsed(name) for name in dict.fromkeys(names)}
    lone = {name for name, tree in parsed.items() if tree is None or isinstance(tree, ast.Name)}
    formulas = {}
    for name, tree in parsed.items():
        symbols = _symbols(tree) if tree is not None else ()
        is_relation = bool(symbols) and name not in lone
        formula = Formula(name, symbols, tree)
        if is_relation and (set(symbols) <= lone or _stands_alone(name, symbols)):
            is_relation = formula.value(dict.fromkeys(symbols, LIKELY_SIZE)) > 0
        else:
            is_relation = False
        formulas[name] = formula if is_relation else Formula(name, (name,))
    return formulas


def _stands_alone(name: str, symbols: tuple[str, ...]) -> bool:
    """True for a formula of one name that no dimension has; `batch-1` is rather a name itself."""
    return len(symbols) == 1 and not re.search(r"\w-\w", name)


def _parsed(name: str) -> ast.expr | None:
    """The name as an expression of sizes; None where it isn't one."""
    if len(name) > LONGEST_NAME:
        return None
    try:
        tree = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _is_expression(tree) else None


def _is_expression(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        known = type(node.op) in OPERATIONS
        return known and _is_expression(node.left) and _is_expression(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_expression(node.operand)
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id.lower() in FUNCTIONS
        return named and bool(node.args) and all(map(_is_expression, node.args))
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    return isinstance(node, ast.Name)


def _symbols(tree: ast.expr) -> tuple[str, ...]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]
    return tuple(dict.fromkeys(node.id for node in names))


def _evaluate(node: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.Name):
        return sizes[node.id]
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int)
        return node.value
    if isinstance(node, ast.UnaryOp):
        return -_evaluate(node.operand, sizes)
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        if node.func.id.lower() in ("ceil", "ceiling") and len(node.args) == 1:
            return _rounded_up(node.args[0], sizes)
        return FUNCTIONS[node.func.id.lower()](*(_evaluate(each, sizes) for each in node.args))
    assert isinstance(node, ast.BinOp)
    left, right = _evaluate(node.left, sizes), _evaluate(node.right, sizes)
    return OPERATIONS[type(node.op)](left, right)


def _rounded_up(node: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return -(-_evaluate(node.left, sizes) // _evaluate(node.right, sizes))
    return _evaluate(node, sizes)
