"""Samples made up from a model's own shapes, for people who have none."""

from dataclasses import replace

from explorer.errors import MeasurementError
from explorer.formats.data import Dataset, fixed_batch, load_data
from explorer.graph.shapes import element_count, input_sizes, sizes_of_batch
from explorer.measure.quality import evaluate
from explorer.measure.runtime import example_inputs
from explorer.model import Model

FEWEST_EXAMPLES, MOST_EXAMPLES = 16, 256
MOST_VALUES = 2**24


def make_examples(model: Model) -> Dataset:
    """Random inputs without labels; a batch that the model leaves open holds as many samples.

    Raises:
        DataError: the model takes none.
        MeasurementError: its inputs have no axis of samples, or the runtime can't run it on them.
    """
    values = sum(element_count(shape) for shape in input_sizes(model).values())
    count = max(FEWEST_EXAMPLES, min(MOST_EXAMPLES, MOST_VALUES // max(values, 1)))
    sizes = input_sizes(model) if fixed_batch(model) else sizes_of_batch(model, count)
    if sizes is None:
        raise MeasurementError(f"{model.name} takes no batch of samples.")
    examples = load_data(example_inputs(model, sizes=sizes), model)
    evaluate(model, examples.head(1), model)
    return replace(examples, labels=None)
