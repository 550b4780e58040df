"""The input sizes that everything is counted with, and a form to set others."""

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from explorer.errors import DataError
from explorer.names import cleaned
from explorer.network import TensorSpec
from explorer.render.text import format_shape, format_sizes
from explorer.workspace.sources import InputSizes
from explorer.workspace.workspace import Workspace

MOST_DIMENSIONS = 8
MOST_FIELDS = 4  # inputs of a cache follow the others
TITLE_SHAPES = 2  # in the title
ABOUT = (
    "The file leaves some input dimensions open. All counts, timings and random inputs use these "
    "sizes; the file that you download keeps its open dimensions."
)
FIXED = "The file fixes the sizes of its inputs."
HELP = (
    "Whole numbers, batch size first. If the field is empty, the samples' size is used or, without "
    "samples, a size that the network runs with."
)


def draw(workspace: Workspace) -> None:
    """The sizes of the open model, in the sidebar."""
    profile, described = workspace.original.profile, workspace.original.description
    if workspace.source is None or profile is None or described is None:
        return
    sizes = profile.input_sizes
    with st.expander(title_of(sizes), key="input_sizes"):
        specs = [spec for spec in described.inputs if is_open(spec)]
        st.caption(ABOUT if specs else FIXED)
        if specs:
            _form(workspace, specs[:MOST_FIELDS], sizes)
        fields = {spec.name for spec in specs[:MOST_FIELDS]}
        others = {name: shape for name, shape in sizes.items() if name not in fields}
        if others:
            st.caption(f"Other inputs: {format_sizes(others)}" if fields else format_sizes(others))


def title_of(sizes: Mapping[str, Sequence[int]]) -> str:
    """With the sizes of the first inputs."""
    shapes = [format_shape(shape) for shape in sizes.values()]
    more = len(shapes) - TITLE_SHAPES
    shown = ", ".join(shapes[:TITLE_SHAPES]) + (f" and {more} more" if more > 0 else "")
    return f"Input size{'s' if len(shapes) > 1 else ''}: {shown}"


def is_open(spec: TensorSpec) -> bool:
    """Whether the file leaves a dimension of an input open."""
    return any(isinstance(dim, str) for dim in spec.shape)


def _form(
    workspace: Workspace, specs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]]
) -> None:
    assert workspace.source is not None
    known = {spec.name: format_shape(sizes.get(spec.name, ())) for spec in specs}
    with st.form("sizes", border=False):
        texts = {}
        for at, spec in enumerate(specs):
            dims = format_shape([cleaned(str(dim)) for dim in spec.shape])
            texts[spec.name] = st.text_input(
                f"{cleaned(spec.name)} ({dims})",
                known[spec.name],
                max_chars=200,
                help=HELP,
                key=f"w_size_{workspace.source.key}_{at}",
            )
        if st.form_submit_button("Set sizes", width="stretch"):
            _set(workspace, texts, known)


def _set(workspace: Workspace, texts: Mapping[str, str], known: Mapping[str, str]) -> None:
    assert workspace.source is not None
    try:
        workspace.set_input_sizes(chosen(texts, known, workspace.source.input_sizes))
    except DataError as error:
        workspace.notice = str(error)
    st.rerun()


def chosen(texts: Mapping[str, str], known: Mapping[str, str], before: InputSizes) -> InputSizes:
    """The shapes that are set: those set before, with the texts that have changed.

    Raises:
        DataError: a text isn't a shape.
    """
    sizes = dict(before)
    for name, text in texts.items():
        shape = shape_in(text)
        if shape is None:
            sizes.pop(name, None)
        elif text.strip() != known[name]:
            sizes[name] = shape
    return tuple(sizes.items())


def shape_in(text: str) -> tuple[int, ...] | None:
    """A shape such as 1 x 3 x 224 x 224, or None for an empty text.

    Raises:
        DataError: it isn't a shape.
    """
    words = re.split(r"[\s,x×]+", text.strip().strip("[]()"))
    if words == [""]:
        return None
    sizes = tuple(int(word) for word in words if re.fullmatch(r"\d{1,9}", word))
    if len(sizes) != len(words) or 0 in sizes or len(sizes) > MOST_DIMENSIONS:
        raise DataError("The input shape must be numbers such as 1 x 3 x 224 x 224.")
    return sizes
