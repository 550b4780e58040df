"""What can be taken away: names stay names in every language, and charts say what is true."""

import ast
import io
import json
import math
import re
import tokenize
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import mistune
import pytest
from exported import HOSTILE, QUALITY, layer, named, outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup

from explorer import LayerChoice, Recipe
from explorer.exports.card import MADE_UP, UNLABELLED, UNSCORED, card
from explorer.exports.figures import legend, strip, tradeoff
from explorer.exports.page import POLICY, QUIET, page
from explorer.exports.script import notebook, script
from explorer.exports.steps import recipe_code
from explorer.render.axes import cost_text, quality_text, scale, ticks
from explorer.render.markdown import escaped, fenced, on_page, one_line
from explorer.render.templating import LANGUAGES, Code, Markdown

CODE_NAMES = ("MODEL", "DATA", "CALIBRATION")
PLAIN = "Xyzzy"
SIGNS = (
    *"`|<>&\"'*_~#$@[]()!{}\\:-+=.\n\r\t\0 ", "{{", "{%", "{#", "# %% ", "1. ", "---", "~~~", "```",
    "**", "://", "www.", "</style>", "</code>", "-->", "]]>", "&lt;", "\u2028", "\u202e", "\x85",
)  # fmt: skip
names = (
    st.lists(st.sampled_from(SIGNS) | st.text(max_size=4), min_size=1, max_size=12)
    .map("".join)
    .filter(lambda text: one_line(text).strip() != "")
)


def code_of(text: str) -> list[str]:
    return ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code"]


def constants(tree: ast.Module) -> dict[str, object]:
    """What the code assigns as plain values."""
    found: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            found[target.id] = node.value.value
    return found


def test_script_and_notebook_hold_hostile_names_as_values() -> None:
    given = outcome()
    texts = [script(given), "\n".join(code_of(notebook(given)))]
    trees = [ast.parse(text) for text in texts]
    for text, tree in zip(texts, trees, strict=True):
        assert [constants(tree)[name] for name in CODE_NAMES] == list(HOSTILE[:3])
        assert "float('" not in text
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        made = [c for c in calls if getattr(c.func, "attr", "") == "LayerChoice"]
        assert [ast.literal_eval(call.args[0]) for call in made] == list(HOSTILE)
        comments = re.findall(r"^#.*$", text, re.MULTILINE)
        assert not any(name in comment for name in HOSTILE for comment in comments)
        assert not any("\n" in name and name in text for name in HOSTILE)
    statements = [[ast.dump(node) for node in tree.body] for tree in trees]
    assert statements[0][1:] == statements[1]  # all but the docstring


def structure(text: str, name: str) -> tuple[str, list[str]]:
    """The syntax tree of code in which this name is another, and its comments."""
    tree = compile(text, "code", "exec", ast.PyCF_ONLY_AST)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value == name:
            node.value = PLAIN
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return ast.dump(tree), [each.string for each in tokens if each.type == tokenize.COMMENT]


@settings(max_examples=150, deadline=None)
@given(names)
def test_no_name_changes_the_code_of_script_and_notebook(name: str) -> None:
    for text, plain in (
        (script(named(name)), script(named(PLAIN))),
        ("\n".join(code_of(notebook(named(name)))), "\n".join(code_of(notebook(named(PLAIN))))),
    ):
        assert structure(text, name) == structure(plain, PLAIN)


def test_a_notebook_is_one_of_format_4_5() -> None:
    content = json.loads(notebook(outcome()))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w-]{1,64}", each) for each in ids)
    for cell in content["cells"]:
        assert isinstance(cell["source"], list)
        is_code = cell["cell_type"] == "code"
        assert ({"outputs", "execution_count"} <= cell.keys()) == is_code


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe("channel", 0.3, weight_bits=4),
        Recipe("2:4", criterion="l1", compensate=False, widths=True, seed=3, granularity="group"),
        Recipe("block", 0.5, layers=(LayerChoice("a", 0.2, 4), LayerChoice('b"\n', None, 8))),
    ],
    ids=["nothing", "short", "long", "layers"],
)
def test_the_code_of_a_recipe_makes_that_recipe(recipe: Recipe) -> None:
    import explorer

    assert eval(recipe_code(recipe), {"explorer": explorer}) == recipe


def test_numbers_without_end_are_python_too() -> None:
    quality = replace(QUALITY, metric="snr_db", value=math.inf, reference_value=None)
    given = outcome()
    text = script(replace(given, compressed=replace(given.compressed, quality=quality)))
    assert "'value': float('inf')," in text
    ast.parse(text)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = self.prose = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((name, dict(attributes)))
        if name not in ("meta", "link"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, text: str) -> None:
        self.text += text
        self.prose += "" if "code" in self.open else text


def test_the_report_is_one_closed_page_in_which_names_are_text() -> None:
    elements = Elements(page(outcome()))
    assert elements.open == []
    kinds = {name for name, _ in elements.found}
    assert kinds.isdisjoint({"script", "img", "iframe", "object", "form", "a", "base"})
    attributes = [each for _, given in elements.found for each in given.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name == "src"]
    assert [value for name, value in attributes if name == "href"] == ["data:,"]
    policy = {"http-equiv": "Content-Security-Policy", "content": POLICY}
    assert ("meta", policy) in elements.found
    assert POLICY.startswith("default-src 'none'")
    for name in HOSTILE[:5]:
        assert name.replace("\n", " ") in elements.text
    assert "\u202e" not in elements.text
    assert not [value for name, value in attributes if "http" in f"{value}"]
    assert re.findall(r"url\([^)]*\)|@import", page(outcome())) == ["url(#zeros)"] * len(HOSTILE)


@settings(max_examples=150, deadline=None)
@given(names)
def test_no_name_changes_the_elements_of_the_report(name: str) -> None:
    plain, elements = Elements(page(named(PLAIN))), Elements(page(named(name)))
    assert elements.open == []
    tones = {"class": PLAIN}, {"class": one_line(name)}
    assert [each for each in elements.found if each[1] != tones[1]] == [
        each for each in plain.found if each[1] != tones[0]
    ]
    assert elements.prose == plain.prose.replace(PLAIN, one_line(name))


def test_the_report_of_a_model_that_was_never_scored_says_so() -> None:
    given = outcome()
    bare = replace(
        given,
        compressed=replace(given.compressed, quality=None, latency=None),
        points=(),
        remarks=(),
        host=None,
        clock="",
    )
    text = Elements(page(bare)).text
    assert "no samples to score runs on" in text
    assert QUIET in text
    assert UNSCORED in card(bare).replace("\\", "")


def rows_of(text: str) -> list[list[str]]:
    """Cells of all tables, split at bars that no backslash goes before."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def test_the_card_keeps_its_tables_and_shows_names_as_text() -> None:
    text = card(outcome())
    assert text.startswith("---\nlibrary_name: onnx\ntags:\n- onnx\n")
    assert {len(row) for row in rows_of(text)} == {6, 8}
    assert len(rows_of(text)) == 2 + 2 + 2 + len(HOSTILE)
    prose = re.sub(r"(`{3,}).*?\n\1", "", text, flags=re.DOTALL)
    assert "<script" not in prose
    assert "<img" not in prose
    assert not re.search(r"(?<!\\)!?\[b\]", prose)
    assert "http://" not in prose
    assert "www.evil" not in prose
    assert 'add_session_config_entry("session.disable_quant_qdq", "1")' in text
    front = text.split("---")[1]
    assert "- pruning\n- quantization\n" in front
    assert not any(name in front for name in HOSTILE)


def blocks(text: str) -> list[Any]:
    """What a reader of Markdown makes of a card's lines, and all that it finds within them."""
    read = mistune.create_markdown(renderer="ast", plugins=["table", "strikethrough", "url"])
    nodes, front = read(text.split("---\n", 2)[2]), text.split("---\n", 2)[1]
    assert isinstance(nodes, list)
    return [front, *map(shape, nodes)]


def shape(node: dict[str, Any]) -> tuple[Any, ...]:
    """A node's type and the types within it, of which neighbours of one kind count once."""
    inner = [shape(each) for each in node.get("children", ())]
    return node["type"], *[each for at, each in enumerate(inner) if each not in inner[at - 1 : at]]


@settings(max_examples=150, deadline=None)
@given(names)
def test_no_name_changes_the_structure_of_the_card(name: str) -> None:
    assert blocks(card(named(name))) == blocks(card(named(PLAIN)))


def test_what_needs_no_clock_is_computed_in_card_and_report() -> None:
    (size,) = [row for row in rows_of(card(outcome())) if row[0].strip() == "File size"]
    assert [cell.strip() for cell in size[-2:]] == ["", "computed from this file"]
    text = Elements(page(outcome())).text
    assert "computed from this file" in text
    assert "how it was measured" not in text


def test_the_card_says_what_was_measured_on_what() -> None:
    given = outcome()
    assert "McNemar's test between the two: p = 0.001" in card(given)
    agreement = replace(QUALITY, metric="agreement", p_value=None, reference_value=1.0)
    small = replace(given.compressed, quality=agreement)
    assert escaped(UNLABELLED) in card(replace(given, compressed=small))
    assert escaped(MADE_UP) in card(replace(given, compressed=small, is_made_up=True))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("blocks.0.conv_1", "blocks.0.conv_1"),
        ("_a_ *b*", r"\_a\_ \*b\*"),
        ("a\nb | c", r"a b \| c"),
        ("<i> & </i>", "&lt;i&gt; &amp; &lt;/i&gt;"),
        ("see http://a.b: c", r"see http\://a.b: c"),
        ("a@b.c www.d.e", r"a\@b.c www\.d.e"),
        ("![x](y)", r"!\[x\](y)"),
        ("- x", r"\- x"),
        ("-", r"\-"),
        ("---", r"\---"),
        ("1. x", r"1\. x"),
        ("10)", r"10\)"),
        ("1.5 x", "1.5 x"),
        ("-1 +2", "-1 +2"),
    ],
)
def test_text_in_markdown(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_text_in_the_markdown_of_a_page() -> None:
    assert on_page("a_b :red[c] $d$") == r"a\_b \:red\[c\] \$d\$"


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("a ```` b").splitlines()[0] == "`````"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_without_a_value_is_refused(language: str) -> None:
    _, environment = LANGUAGES[language]
    with pytest.raises(UndefinedError):
        environment.from_string("{{ it }}").render()


def test_what_is_written_in_a_language_is_text_in_the_others() -> None:
    values = {"html": Markup("<b>'"), "md": Markdown("*'"), "py": Code("f('')")}
    shown = {
        language: [environment.from_string("{{ it }}").render(it=it) for it in values.values()]
        for language, (_, environment) in LANGUAGES.items()
    }
    assert shown == {
        "html": ["<b>'", "*&#x27;", "f(&#x27;&#x27;)"],
        "md": ["&lt;b&gt;'", "*'", "f('')"],
        "py": [repr("<b>'"), repr("*'"), "f('')"],
    }


def test_a_macro_of_markdown_or_code_is_escaped_once_more() -> None:
    source = "{% macro twice(it) %}{{ it }}{{ it }}{% endmacro %}{{ twice(it) }}"
    _, markdown = LANGUAGES["md"]
    _, code = LANGUAGES["py"]
    assert markdown.from_string(source).render(it="*") == r"\\\*\\\*"
    assert ast.literal_eval(code.from_string(source).render(it="a")) == "'a''a'"


def test_ticks_are_round_and_within() -> None:
    assert ticks(0, 10, 4) == [0, 2.5, 5, 7.5, 10]
    assert ticks(0.905, 0.945, 4) == pytest.approx([0.91, 0.92, 0.93, 0.94])
    assert ticks(3, 3, 4) == []
    assert scale(0, 10, 100, 0)(2.5) == 75
    assert scale(3, 3, 5, 9)(3) == 5


def test_texts_of_ticks_have_no_needless_zeros() -> None:
    assert [cost_text("file_bytes", n) for n in (0, 50_000, 250_000, 1_500_000)] == [
        "0 B", "50 kB", "250 kB", "1.5 MB",
    ]  # fmt: skip
    assert [cost_text("macs", n) for n in (0, 20, 2_000_000)] == ["0", "20", "2 M"]
    assert cost_text("latency", 0.5) == "0.5"
    assert (quality_text("%", 0.925), quality_text("dB", 30.0)) == ("92.5 %", "30 dB")


def test_a_point_without_a_cost_is_on_no_chart_of_it() -> None:
    given = outcome()
    drawn = [tradeoff(given, cost) for cost in ("file_bytes", "latency")]
    charts = [chart for chart in drawn if chart is not None]
    assert len(charts) == len(drawn)
    assert [chart.count("<circle") for chart in charts] == [1, 0]
    assert tradeoff(replace(given, points=given.points[1:]), "latency") is None


def test_the_strip_fills_columns_as_far_as_channels_stay() -> None:
    drawn = strip([layer("a", sparsity=0.0), layer("b", kept=16, weight_bits=32)])
    heights = [
        float(h)
        for h in re.findall(r'<rect x="\d+" y="[\d.]+" width="82" height="([\d.]+)"', drawn)
    ]
    assert heights[:2] == [148, 74]
    assert heights[2:] == [148, 148, 74]  # half of b is zero
    assert 'class="kept bits-4"' in drawn
    assert 'class="kept bits-32"' in drawn


def test_columns_are_as_high_as_the_legend_says() -> None:
    layers = [layer("a", channels=64, kept=64), layer("b", channels=16, kept=16)]
    heights = re.findall(r'height="([\d.]+)" class="whole"', strip(layers))
    assert [float(height) for height in heights] == [148, 74]
    assert "height: √channels (max 64)" in legend(layers)
