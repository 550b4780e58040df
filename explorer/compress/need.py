"""How much an error of one layer counts, so that layers can be compared."""

from explorer.compress.calibration import LayerStatistics
from explorer.compress.cholesky import Matrix
from explorer.compress.criteria import weight_array
from explorer.compress.regression import precision
from explorer.compress.rows import Form, form_of
from explorer.compress.targets import find_targets
from explorer.graph.layers import find_nodes
from explorer.model import Model
from explorer.network import Layer

LAST_NEED = 3.0  # how much more an error counts behind which no layer comes
SMALLEST = 1e-30


def need_of(model: Model, layer: Layer, statistics: LayerStatistics) -> float:
    """What the squared error of a layer's outputs is multiplied with.

    It counts relative to the variance of what the layer is part of; that of the last layer counts
    more, as nothing makes up for it.
    """
    need = LAST_NEED if find_targets(model)[layer.name].is_last else 1.0
    return need / max(statistics.energy, SMALLEST)


def original_weights(
    model: Model, layer: Layer, statistics: LayerStatistics
) -> tuple[Matrix, Form]:
    """A layer's weights as a regression's, in the precision to solve in, with their form."""
    form = form_of(find_nodes(model)[layer.node], layer)
    matrix = form.to_matrix(weight_array(model, layer.weight))
    return matrix.astype(precision(statistics.gram.shape[-1])), form
