"""Reports and plans as a notebook shows them."""

import subprocess
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import pytest
from conftest import ROOT, SAMPLES

import explorer
from explorer.formats.data import Dataset
from explorer.render.notebook_tables import plan_html, report_html
from explorer.render.text_tables import plan_rows, plan_table, report_rows, report_table

NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import explorer
model = explorer.load("sample_models/vowels_cnn.onnx")
report = explorer.Report("id", "net", explorer.profile(model))
for value in (explorer.plan(model, explorer.Recipe()), report):
    shown, _ = shell.display_formatter.format(value)
    print(shown["text/html"].count("<table"), shown["text/plain"][:6])
"""
RECIPE = explorer.Recipe(pattern="channel", ratio=0.5, weight_bits=4)
NASTY = "<img src=x onerror='alert(1)'>&\"</td>"


class Reading(HTMLParser):
    """The cells of the tables, and which tags and attributes there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def report(resnet: explorer.Model, test_data: Dataset) -> explorer.Report:
    return explorer.Report(
        resnet.id,
        resnet.name,
        explorer.profile(resnet),
        explorer.measure_latency(resnet),
        explorer.evaluate(resnet, test_data),
    )


def stripped(rows: list[list[str]]) -> list[list[str]]:
    return [[cell.strip() for cell in row] for row in rows]


def test_a_report_shows_the_same_cells_as_the_shell(report: explorer.Report) -> None:
    read = Reading(report_html(report))
    assert read.rows == stripped(report_rows([report]))
    assert read.rows[0] == ["", report.name]
    assert all(cell in report_table([report]) for row in read.rows for cell in row)
    assert {row[0] for row in read.rows} >= {"file size", "accuracy, measured"}


def test_a_plan_shows_the_same_cells_as_the_shell(resnet: explorer.Model) -> None:
    plan = explorer.plan(resnet, RECIPE)
    read = Reading(plan_html(plan))
    assert read.rows == stripped(plan_rows(plan))
    assert len(read.rows) == 1 + len(resnet.layers)
    _, others, ties = plan_table(plan).split("\n\n")
    assert f"<p>{escape(others)}</p>" in plan_html(plan)
    sentences = ties.splitlines()
    assert all(f"<li>{escape(each)}</li>" in plan_html(plan) for each in sentences)


def test_names_never_become_markup(report: explorer.Report) -> None:
    plan = explorer.plan(explorer.load(SAMPLES / "vowels_cnn.onnx"), RECIPE)
    layers = tuple(replace(layer, name=NASTY, skipped=NASTY) for layer in plan.layers)
    groups = tuple(
        replace(group, members=(NASTY, NASTY), joined_by=(NASTY,)) for group in plan.groups
    )
    shown = plan_html(replace(plan, layers=layers, groups=groups))
    for html in (report_html(replace(report, name=NASTY)), shown):
        read = Reading(html)
        assert read.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p"}
        assert read.attributes <= {"style", "scope"}
        assert any(NASTY in row for row in read.rows)
        assert read.open == []


def test_nothing_is_fetched_and_no_colour_is_fixed(report: explorer.Report) -> None:
    html = report_html(report)
    assert not any(word in html for word in ("http", "url(", "src=", "<script", "#"))


def test_the_plain_form_stays(report: explorer.Report) -> None:
    assert repr(report).startswith("Report(model_id=")


def test_a_notebook_shows_the_tables() -> None:
    command = [sys.executable, "-W", "ignore", "-c", NOTEBOOK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 Plan(m", "1 Report"]
