"""What the ONNX checker finds, in sentences of our own: its texts hold names and paths raw."""

import re

from explorer.errors import ModelError
from explorer.names import cleaned

AGAIN = "export it again"
MOST_TEXT = 20_000  # of the checker's text; a longer one holds a name as long
NODE = re.compile(r"name: (?P<node>.*?) optype: (?P<op>\S*)", re.DOTALL | re.IGNORECASE)
ANY_NUMBER = 2**31 - 1  # the checker's word for "as many as you like"
# What the checker writes, and what is said instead; {where} is the node that it names.
VERDICTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        (
            r"^No Op registered for (?P<a>.*) with domain_version of (?P<b>\d+)",
            "has an operator {a} that ONNX doesn't have at opset {b}",
        ),
        (
            r"^Op registered for (?P<a>.*) is deprecated in domain_version of (?P<b>\d+)",
            "has an operator {a} that ONNX no longer has at opset {b}",
        ),
        (
            r"^Nodes in a graph must be topologically sorted, however input '(?P<a>.*)' of node: ",
            "has {where} that reads {a}, which nothing before it gives",
        ),
        (
            r"SSA\) form, however '(?P<a>.*)' has been used as",
            "gives the name {a} to more than one value",
        ),
        (r"^(?P<a>.*) initializer name is not unique", "has two weights with the name {a}"),
        (
            r"^Mismatched attribute type in '.* : (?P<a>.*)'\. Expected: '(?P<b>\w+)', "
            r"actual: '(?P<c>\w+)'",
            "has {where} whose attribute {a} must be of type {b}, not {c}",
        ),
        (
            r"^Unrecognized attribute: (?P<a>.*) for operator ",
            "has {where} with an attribute {a} that this operator doesn't take",
        ),
        (r"^Required attribute '(?P<a>.*)' is missing", "has {where} without its attribute {a}"),
        (r"^Attribute '(?P<a>.*)' appeared", "has {where} with its attribute {a} given twice"),
        (
            r"^type field and data field mismatch in attribute (?P<a>.*?)\.",
            "has {where} whose attribute {a} doesn't hold what its type says",
        ),
        (r"^Graph output '(?P<a>.*)' is not", "has an output {a} that no node gives"),
        (
            r"^Field '(shape' of 'type|type' of 'value_info)' is required but missing",
            "doesn't say which type, and how many axes, each input and output has",
        ),
        (
            r"^No opset import for domain '(?P<a>.*?)'",
            "doesn't say which version of the operators {a} it uses",
        ),
        (
            r"^Your model ir_version (?P<b>\d+) is higher",
            "is of a newer version of the format (IR {b}) than the explorer reads",
        ),
    )
)
COUNT = re.compile(
    r"^Node.* with schema\(.*\) has (?P<what>input|output) size (?P<found>\d+) not in range "
    r"\[min=(?P<low>\d+), max=(?P<high>\d+)\]",
    re.DOTALL,
)
PLAIN_GROUPS = ("b", "c")  # numbers and names of types, shown without quotes


def verdict(text: str, title: str) -> ModelError:
    """The error for a model that the checker refuses with `text`."""
    text = text[:MOST_TEXT].strip()
    where = _where(text)
    if count := COUNT.search(text):
        return ModelError(f"{title} has {where} with {_wrong_count(count)}; {AGAIN}.")
    for pattern, sentence in VERDICTS:
        if found := pattern.search(text):
            names = {
                key: value if key in PLAIN_GROUPS else repr(cleaned(value))
                for key, value in found.groupdict().items()
            }
            return ModelError(f"{title} {sentence.format(where=where, **names)}; {AGAIN}.")
    return ModelError(f"{title} breaks a rule of ONNX at {where}; {AGAIN}.")


def _where(text: str) -> str:
    found = NODE.search(text)
    if found is None:
        return "a node"
    node, operator = cleaned(found["node"], ""), cleaned(found["op"], "")
    return f"the node {node!r} ({operator})" if node else f"a node {operator}".strip()


def _wrong_count(found: re.Match[str]) -> str:
    low, high = int(found["low"]), int(found["high"])
    fits = f"{low}" if low == high else f"{low} to {high}"
    fits = f"at least {low}" if high == ANY_NUMBER else fits
    return f"{found['found']} {found['what']}s instead of {fits}"
