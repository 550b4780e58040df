"""Templates (Jinja2), in which every value is escaped for the language of the file.

The middle of a name is the language: `card.md.jinja` is Markdown. A value becomes text of an HTML
page, text of Markdown or a Python literal, unless it is `Markup`, `Markdown` or `Code`, each in its
own language only. So a filter that is forgotten escapes too much, never too little. A name without
a value raises `jinja2.UndefinedError`.
"""

import math
from collections.abc import Callable
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from explorer.render import labels
from explorer.render.markdown import escaped, fenced, one_line

FOLDER = Path(__file__).with_name("templates")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


class Code(str):
    """Text that is Python already."""

    __slots__ = ()


def html_text(value: object) -> str:
    """Text of an element or of a quoted attribute, on one line."""
    return escape(one_line(str(value)))


def html_lines(text: str) -> Markup:
    """Text whose lines stay, for a `pre`."""
    return Markup("\n".join(map(html_text, text.split("\n"))))  # noqa: S704  # escaped


def literal(value: object) -> str:
    """A string, a number or the like as Python reads it, numbers without end included."""
    text = str(value)  # raises where it is undefined; `repr` doesn't
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({text!r})"
    return repr(text if isinstance(value, str) else value)


def _language(
    written: type[str], escape_value: Callable[[object], str], **filters: Callable[..., str]
) -> tuple[type[str], Environment]:
    """Jinja's own escaping is HTML's; the other languages have `finalize` alone.

    There, what a macro or a `set` block makes is a plain string, and is escaped again.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=written is Markup,  # noqa: S701  # else `finalize` escapes
        finalize=lambda value: (
            value if isinstance(value, written) else written(escape_value(value))
        ),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    environment.globals["labels"] = labels
    return written, environment


LANGUAGES = {
    "html": _language(Markup, html_text, lines=html_lines),
    "md": _language(
        Markdown,
        lambda value: escaped(str(value)),
        fenced=lambda text, language: Markdown(fenced(text, language)),
    ),
    "py": _language(Code, literal, comment=lambda text: Code(one_line(text))),
}


def render(name: str, **values: object) -> str:
    """The text of a template, such as `card.md.jinja`, with these values."""
    _, language, _ = name.split(".")
    written, environment = LANGUAGES[language]
    return written(environment.get_template(name).render(values))
