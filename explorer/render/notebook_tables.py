"""Reports and plans as tables of HTML, for notebooks.

The tables stand alone: no style sheet, script or picture is fetched. Colours follow the text's, so
that light and dark themes both work, and every name is escaped: layers and files can be called
anything.
"""

import sys
from collections.abc import Sequence
from html import escape

from explorer.render.explain import group_sentences
from explorer.render.text_tables import plan_rows, report_rows
from explorer.report import Plan, Report

LINE = "color-mix(in srgb, currentColor 20%, transparent)"
CELL = f"padding: 0.3em 0.8em; border: 0; border-bottom: 1px solid {LINE}; vertical-align: top"
TABLE = "border-collapse: collapse; border: 0; font-variant-numeric: tabular-nums; margin: 0.3em 0"


def register() -> None:
    """Have the notebook that is running show reports and plans as tables.

    Call it where IPython is loaded; where no notebook is running, it does nothing.
    """
    shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type(Report, report_html)
        formatter.for_type(Plan, plan_html)


def report_html(report: Report) -> str:
    """One report, one quantity a line."""
    return _table(report_rows([report]))


def plan_html(plan: Plan) -> str:
    """What happens to each layer, one a line, and below it why layers are coupled."""
    ties = "".join(f"<li>{escape(sentence)}</li>" for sentence in group_sentences(plan.groups))
    others = f"<p>{escape(plan.others)}</p>" if plan.others else ""
    return _table(plan_rows(plan)) + others + (f"<ul>{ties}</ul>" if ties else "")


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first row and the first column name the others."""
    head = "".join(_cell("th", text, ' scope="col"') for text in rows[0])
    lines = [
        _cell("th", name, ' scope="row"') + "".join(_cell("td", text) for text in texts)
        for name, *texts in rows[1:]
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div style="overflow-x: auto"><table style="{TABLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, text: str, scope: str = "") -> str:
    indent = "; padding-left: 2em" if text.startswith("  ") else ""
    weight = "600" if tag == "th" and not indent else "400"
    style = f"{CELL}; text-align: left; background: none; font-weight: {weight}{indent}"
    return f'<{tag}{scope} style="{style}">{escape(text.strip())}</{tag}>'
