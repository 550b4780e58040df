"""What a workspace holds survives a way through JSON, and nothing else is taken for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from values import EVENTS, RECIPE

from explorer.jobs import Domain
from explorer.runs import Original, Run
from explorer.search.sweep import Design
from explorer.typed_json import from_plain, to_plain
from explorer.workspace.results import Tag
from explorer.workspace.sources import Drop, Source

SOURCE = Source(
    key="k",
    title="net with pictures",
    domain=Domain("d", Path("/tmp/d")),
    model=Path("/tmp/d/upload-1"),
    data=Path("/tmp/d/test.npz"),
    files=("net.onnx", "test.npz", None),
    notes=("Colours were read.",),
    classes=("cat", "dog"),
    pairs=(("cat", 0), ("dog", 1)),
    input_sizes=(("x", (1, 3, 32, 32)),),
)
DROP = Drop((("net.onnx", Path("/tmp/d/upload-1")),), SOURCE, (1, 3), '{"a": 1}', None, (), "mae")
VALUES: tuple[Any, ...] = (
    Original(),
    Original().after(EVENTS),
    Run(RECIPE),
    replace(Run(RECIPE).after(EVENTS), complete=True),
    SOURCE,
    replace(SOURCE, drop=DROP),
    DROP,
    Design(),
    Tag("best so far", is_pinned=True, note="too slow on the Pi?"),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_json(value: Any) -> None:
    text = json.dumps(to_plain(value), allow_nan=False)
    assert from_plain(json.loads(text), type(value)) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_no_such_value_is_refused(value: Any) -> None:
    plain, kind = to_plain(value), type(value)
    with pytest.raises(ValueError, match=f"This is no {kind.__name__}"):
        from_plain({**plain, "more": 1}, kind)
    for name in plain:
        with pytest.raises(ValueError, match=kind.__name__):
            from_plain({**plain, name: object()}, kind)
