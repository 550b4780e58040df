"""Strangers' text in Markdown, where it must stay text."""

import re

SIGNS = re.compile(
    r"[\\`*\[\]#|~$@]|:(?=//)|(?<![^\W_])_|_(?![^\W_])"
    r"|^[-+](?=[-\s]|$)|^\d{1,9}[.)](?=\s|$)"  # items of lists, rules
)
PAGE_SIGNS = frozenset(r"\`*_{}[]()<>#+!|~$:")  # colons and brackets make emoji and colours there
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: str) -> str:
    """The text without line breaks and whatever else can't be printed."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def escaped(text: str) -> str:
    """One line of Markdown that shows the text as it is, in a table too.

    Signs get a backslash and HTML's own become entities; underscores within a word mean nothing.
    What makes a bare address is escaped too, because it would become a link.
    """
    line = "".join(ENTITIES.get(sign, sign) for sign in one_line(text).strip())
    line = SIGNS.sub(lambda sign: f"{sign.group()[:-1]}\\{sign.group()[-1]}", line)
    return line.replace("www.", r"www\.")


def on_page(text: str) -> str:
    """The text as it is in the Markdown of a Streamlit page, which has signs of its own."""
    return "".join(f"\\{sign}" if sign in PAGE_SIGNS else sign for sign in text)


def fenced(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
