"""Samples made up from a model's own shapes, for people who have none."""

from dataclasses import replace

from explorer.formats.data import Dataset, load_data
from explorer.graph.shapes import element_count, infer_shapes
from explorer.measure.quality import evaluate
from explorer.measure.runtime import example_inputs
from explorer.model import Model

FEWEST_EXAMPLES, MOST_EXAMPLES = 16, 256
MOST_VALUES = 2**24


def make_examples(model: Model) -> Dataset:
    """Random inputs without labels.

    Raises:
        DataError: the model takes none.
        MeasurementError: the runtime can't run it on them.
    """
    dims = infer_shapes(model).dims
    values = sum(element_count(dims.get(spec.name, ())) for spec in model.inputs)
    count = max(FEWEST_EXAMPLES, min(MOST_EXAMPLES, MOST_VALUES // max(values, 1)))
    examples = load_data(example_inputs(model, count=count), model)
    evaluate(model, examples.head(1), model)
    return replace(examples, labels=None)
