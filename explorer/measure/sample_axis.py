"""What a model takes one by one: samples, or steps and pixels where these come first."""

from explorer.errors import ModelError
from explorer.formats.data import Dataset
from explorer.graph.shapes import check_sizes, first_axes, input_sizes
from explorer.graph.sizes.dimension_kinds import Kind
from explorer.model import Model
from explorer.names import cleaned
from explorer.network import Shape


def row_notes(model: Model, data: Dataset) -> tuple[str, ...]:
    """A sentence for each input whose rows are no samples."""
    kinds = {name: kind for name, kind in first_axes(model).items() if kind is not Kind.BATCH}
    return tuple(
        f"Input {cleaned(name)!r} begins with {kind.value}, not with samples: each of its "
        f"{len(data):,} rows counts as one."
        for name, kind in kinds.items()
    )


def rows_at_once(model: Model, data: Dataset, usual: int) -> int:
    """How many rows to run at once: the `usual` number, or all where they are steps or pixels."""
    return usual if set(first_axes(model).values()) <= {Kind.BATCH} else len(data)


def sample_sizes(model: Model, data: Dataset) -> dict[str, Shape]:
    """The shapes of one sample, batch first, by input; none where they are the model's sizes.

    Where an input begins with time or pixels, all of its rows are one sample. None too where the
    file says that sizes are equal which aren't.
    """
    usual, firsts = input_sizes(model), first_axes(model)
    found = {
        name: (
            *(usual[name][:1] if firsts.get(name, Kind.BATCH) is Kind.BATCH else array.shape[:1]),
            *array.shape[1:],
        )
        for name, array in data.inputs.items()
        if usual.get(name)
    }
    if all(usual[name] == shape for name, shape in found.items()):
        return {}
    try:
        check_sizes(model, found)
    except ModelError:
        return {}
    return found
