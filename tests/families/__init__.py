"""Every family of networks that people put on devices, a few channels wide."""

from families import convolutional, dense_prediction, detectors, sequences, transformers
from families.family import Family, seeded

__all__ = ["FAMILIES", "Family", "seeded"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for module in (convolutional, dense_prediction, detectors, transformers, sequences)
    for family in module.FAMILIES
}
