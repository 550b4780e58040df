"""Blends of calibration samples.

Where a network decides, between its classes, few samples lie. Blends of two (the inputs of mixup;
Zhang et al., arXiv 1710.09412) lie there, and what the original gives for them needs no label: with
them a compressed network agrees with the original where it matters, from as few samples.
"""

import numpy as np

from explorer.formats.data import Dataset
from explorer.model import Model

MOST = 0.5  # of the other sample


def blend(model: Model, samples: Dataset, count: int) -> Dataset | None:
    """At most `count` blends, one for each sample; None where inputs can't be blended.

    Numbers that name something, such as the ids of words, have nothing between them: models with an
    integer input have no blends.
    """
    types = {spec.name: spec.dtype for spec in model.inputs}
    count = min(count, len(samples))
    if count < 1 or not all(kind.startswith("float") for kind in types.values()):
        return None
    rng = np.random.default_rng(0)
    others = rng.permutation(len(samples))[:count]
    share = rng.uniform(0, MOST, count)
    inputs = {}
    for name, array in samples.inputs.items():
        along = share.reshape(-1, *[1] * (array.ndim - 1)).astype(types[name])
        first, second = array[:count].astype(types[name]), array[others].astype(types[name])
        inputs[name] = first + along * (second - first)
    return Dataset(inputs, None, f"{samples.id}:blends:{count}")
