"""HTML and SVG as text, with everything that isn't markup escaped."""

from html import escape

from explorer.exports.markdown import one_line


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(kind: str, *inner: object, **attributes: object) -> Markup:
    """An element; `inner` is escaped unless it is markup, and None is left out.

    Underscores in names of attributes stand for hyphens: `stroke_width`; one at the end is dropped,
    as in `class_`.
    """
    words = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    return Markup(f"<{kind}{''.join(words)}>{joined(*inner)}</{kind}>")


def joined(*parts: object) -> Markup:
    """Parts one after another."""
    return Markup("".join(_text(part) for part in parts if part is not None))


def _text(part: object) -> str:
    return part if isinstance(part, Markup) else escape(one_line(str(part)))


def block(text: str) -> Markup:
    """Text whose lines stay, for a `pre`."""
    return Markup("\n".join(escape(one_line(line)) for line in text.split("\n")))
