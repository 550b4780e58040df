"""ONNX's own backend tests of single operators, as an oracle for everything that rewrites graphs.

They come with the `onnx` package: small models with inputs and the outputs that the standard
expects. Each is also tried at the older opsets at which one of its operators has another version
and in which it is valid; what it should give there is what ONNX Runtime gives.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from conftest import run_plainly

from explorer.errors import ExplorerError
from explorer.formats.onnx_file import bare_proto, load
from explorer.graph.opset import upgrade
from explorer.graph.shapes import infer_shapes
from explorer.measure.fidelity import is_alike
from explorer.model import Model

OLDEST = 7
TARGETS = (13, 21, 25)  # the opsets that the explorer writes
FIFTH = 5
HALF_DIGITS = 5e-3
NO_KERNEL = "the runtime has no kernel at the newer opset"
Feeds = dict[str, object]


@dataclass
class Tally:
    """What came of the cases.

    How many were `equal`, `skipped` (by reason), not opened, refused a newer opset, and `wrong`.
    """

    equal: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unopened: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def node_tests() -> list[Any]:
    """All of them; making their data warns of overflows that belong to them."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def opset_of(proto: onnx.ModelProto) -> int | None:
    """Version of the standard operators; None for a model without any."""
    versions = [each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")]
    return versions[0] if versions else None


def at_opsets(proto: onnx.ModelProto, every: bool) -> Iterator[tuple[int, onnx.ModelProto]]:
    """The model at its own opset, and at older ones; at `every` one, or where something changed."""
    newest = opset_of(proto)
    if newest is None:
        return
    changes = {min(newest, last - 1) for last in _changes(proto)}
    for opset in range(OLDEST, newest):
        if not every and opset not in changes:
            continue
        older = onnx.ModelProto()
        older.CopyFrom(proto)
        for each in older.opset_import:
            if each.domain in ("", "ai.onnx"):
                each.version = opset
        try:
            onnx.checker.check_model(older)
        except (onnx.checker.ValidationError, RuntimeError):
            continue
        yield opset, older
    yield newest, proto


def _changes(proto: onnx.ModelProto) -> set[int]:
    """Opsets at which an operator of the graph got a new version."""
    history = _history()
    return {opset for node in proto.graph.node for opset in history.get(node.op_type, ())}


@cache
def _history() -> dict[str, set[int]]:
    """Opsets at which each operator got a new version."""
    history: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            history.setdefault(schema.name, set()).add(schema.since_version)
    return history


def try_all(every: bool = False) -> Tally:
    """Load, simplify and raise each case, and compare its outputs.

    Not `every` case is also tried at older opsets, but each fifth.
    """
    tally = Tally()
    for place, test in enumerate(node_tests()):
        names = [value.name for value in test.model.graph.input]
        for inputs, expected in test.data_sets:
            feeds = dict(zip(names, inputs, strict=False))
            for opset, proto in at_opsets(test.model, every):
                is_own = opset == opset_of(test.model)
                if not (is_own or every or place % FIFTH == 0):
                    continue
                wanted = expected if is_own else None
                _try_one(tally, f"{test.name} at opset {opset}", proto, feeds, wanted)
    return tally


def _try_one(
    tally: Tally,
    name: str,
    proto: onnx.ModelProto,
    feeds: Feeds,
    expected: list[object] | None,
) -> None:
    data = proto.SerializeToString()
    try:
        given = run_plainly(data, feeds)
        again = run_plainly(data, feeds)
    except Exception:  # noqa: BLE001 - the runtime's errors have no common root
        tally.skipped["the runtime doesn't run it"] += 1
        return
    digits = _digits(given)
    if not _equal(given, again, digits):
        tally.skipped["gives something else each time"] += 1
        return
    if expected is not None and not _equal(given, expected, 1e-3):
        tally.skipped["the runtime gives something else than the standard"] += 1
        return
    try:
        model = Model.of_file(load(data))
    except ExplorerError as error:
        tally.unopened.append(f"{name}: {error}")
        return
    own = opset_of(proto)
    assert own is not None
    for target in (own, *TARGETS):
        _raise_one(tally, f"{name}, raised to {target}", model, target, feeds, given, digits)


def _raise_one(
    tally: Tally,
    name: str,
    model: Model,
    target: int,
    feeds: Feeds,
    given: list[object],
    digits: float,
) -> None:
    try:
        raised = upgrade(model.graph_model.clone(), target, infer_shapes(model))
    except ExplorerError as error:
        tally.refused.append(f"{name}: {error}")
        return
    try:
        outputs = run_plainly(bare_proto(raised).SerializeToString(), feeds)
    except Exception as error:  # noqa: BLE001 - as above
        if "NOT_IMPLEMENTED" in str(error):
            tally.skipped[NO_KERNEL] += 1
        else:
            tally.wrong.append(f"{name}: {str(error)[:200]}")
        return
    if _equal(outputs, given, digits):
        tally.equal += 1
    else:
        tally.wrong.append(f"{name}: other outputs")


def _digits(outputs: list[object]) -> float:
    halves = any(np.asarray(each).dtype.itemsize == 2 for each in outputs if _is_array(each))
    return HALF_DIGITS if halves else 1e-5


def _is_array(output: object) -> bool:
    return isinstance(output, np.ndarray)


def _equal(outputs: list[object], wanted: list[object], digits: float) -> bool:
    return is_alike(list(outputs), list(wanted), digits)
