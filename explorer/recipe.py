"""What the user asks for: a `Recipe`, with its choices for single layers.

A recipe is plain data. It never touches a model; `plan` decides what of it a graph allows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

from explorer.errors import RecipeError
from explorer.storage_types import INT8, KERNEL_TYPES, UINT8

PATTERNS = ("none", "channel", "unstructured", "2:4", "4:8", "block")
RATIO_PATTERNS = ("channel", "unstructured", "block")
SCOPES = ("global", "layer")
RECONSTRUCTION = "reconstruction"
CRITERIA = (RECONSTRUCTION, "l1", "l2", "random")
WEIGHT_BITS = (32, 16, 8, 7, 6, 5, 4, 3, 2)
ACTIVATION_BITS = (32, 8)
INT8_RANGES = tuple(KERNEL_TYPES)
GRANULARITIES = ("tensor", "channel", "group")
MOST_SPREAD_BITS = INT8.bits
AIMS = ("size", "macs", "time")  # what a recipe can be made to save


@dataclass(frozen=True)
class LayerChoice:
    """An override for one layer; `None` means "as the recipe says".

    `ratio` is the fraction of this layer's channels or weights to remove, in [0, 1).
    """

    name: str
    ratio: float | None = None
    weight_bits: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise RecipeError("Each layer choice needs the name of a layer.")
        _make_plain(self)
        if self.ratio is not None:
            _check_ratio(self.ratio, f"The ratio of layer {self.name!r}")
        if self.weight_bits is not None:
            _check_choice(self.weight_bits, WEIGHT_BITS, f"The weight bits of layer {self.name!r}")


@dataclass(frozen=True)
class Recipe:
    """What to do to a network.

    `ratio`: fraction of prunable channels (pattern `channel`) or of weights (`unstructured`,
    `block`) to remove; `2:4` and `4:8` fix it themselves. `round_to`: kept channels are a multiple
    of this where the layer is wide enough. `weight_bits` 32 leaves weights as they are, 16 stores
    float16, 8 to 2 store integers with one scale per tensor, output channel or group of
    `group_size` inputs. With `bits_scope` `global`, 8 bits and less are an average over all
    weights: layers get 2, 4 or 8 (mixed precision). `widths` also removes channels that a
    normalisation or a mean runs over, such as the residual width and the embeddings of a
    transformer; what is left is then averaged over fewer channels, which is not the same as setting
    the others to zero. `keep_metadata` keeps the text that exporters write beside nodes and
    tensors, which else goes; `short_names` gives tensors and nodes short ones, all but inputs and
    outputs. `activation_bits` 8 needs calibration data. `int8_range` is that of the weights which
    integer kernels multiply with: `reduced`, -64 to 64, is exact on every processor, `full`, -127
    to 127, on those whose kernels don't saturate (x86 with VNNI, Arm). `seed` decides criterion
    `random`.
    """

    pattern: str = "none"
    ratio: float = 0.0
    scope: str = "global"
    criterion: str = RECONSTRUCTION
    round_to: int = 8
    weight_bits: int = 32
    activation_bits: int = 32
    bits_scope: str = "layer"
    int8_range: str = "reduced"
    granularity: str = "channel"
    group_size: int = 32
    widths: bool = False
    compensate: bool = True
    keep_metadata: bool = False
    short_names: bool = False
    seed: int = 0
    layers: tuple[LayerChoice, ...] = ()

    def __post_init__(self) -> None:
        _make_plain(self)
        _check_choice(self.pattern, PATTERNS, "The pattern")
        _check_ratio(self.ratio, "The ratio")
        _check_choice(self.scope, SCOPES, "The scope")
        _check_choice(self.criterion, CRITERIA, "The criterion")
        _check_choice(self.weight_bits, WEIGHT_BITS, "The number of weight bits")
        _check_choice(self.activation_bits, ACTIVATION_BITS, "The number of activation bits")
        _check_choice(self.int8_range, INT8_RANGES, "The INT8 range")
        _check_choice(self.bits_scope, SCOPES, "The scope of the bits")
        _check_choice(self.granularity, GRANULARITIES, "The granularity")
        _check_int(self.round_to, 1, "The multiple that channels are rounded to")
        _check_int(self.group_size, 2, "The group size")
        _check_int(self.seed, 0, "The seed")
        for switch in ("widths", "compensate", "keep_metadata", "short_names"):
            if not isinstance(getattr(self, switch), bool):
                value = getattr(self, switch)
                name = switch.replace("_", " ").capitalize()
                raise RecipeError(f"{name} is {value!r}; it must be true or false.")
        is_listed = isinstance(self.layers, Iterable)
        if not is_listed or not all(isinstance(choice, LayerChoice) for choice in self.layers):
            raise RecipeError("The recipe's layers must be a list of layer choices.")
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "ratio", float(self.ratio))  # 0 and 0.0 are one recipe
        names = [choice.name for choice in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise RecipeError(f"Layer {name!r} is chosen twice; give each layer one choice.")

    def choice(self, layer: str) -> LayerChoice:
        """The override for a layer, or an empty one."""
        return next((c for c in self.layers if c.name == layer), LayerChoice(layer))

    @property
    def prunes_by_ratio(self) -> bool:
        """True for patterns whose ratio the user chooses."""
        return self.pattern in RATIO_PATTERNS

    @property
    def spreads_bits(self) -> bool:
        """True where `weight_bits` is an average over the layers."""
        return self.bits_scope == "global" and self.weight_bits <= MOST_SPREAD_BITS

    @property
    def rounds_activations(self) -> bool:
        """True where activations become 8-bit integers."""
        return self.activation_bits == UINT8.bits

    @property
    def is_identity(self) -> bool:
        """True when nothing is asked for, so the file stays as it is."""
        overridden = any(c.ratio or c.weight_bits not in (None, 32) for c in self.layers)
        masks = self.pattern not in ("none", *RATIO_PATTERNS)
        prunes = masks or (self.pattern in RATIO_PATTERNS and self.ratio > 0)
        return not (prunes or overridden or self.weight_bits < 32 or self.rounds_activations)

    def to_json(self) -> str:
        """Canonical JSON: equal recipes give equal text, so it also serves as a cache key."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Recipe":
        """Read a recipe back.

        Raises:
            RecipeError: the text is not JSON, or a key or value is not one a recipe has.
        """
        try:
            values = json.loads(text)
        except (ValueError, UnicodeDecodeError, RecursionError) as error:
            raise RecipeError("The recipe is not valid JSON.") from error
        _check_keys(cls, values, "The recipe")
        choices = values.get("layers", [])
        if isinstance(choices, Mapping):  # as a person may write it: {"conv1": {"ratio": 0.5}}
            choices = [
                {"name": name, **choice} if isinstance(choice, Mapping) else choice
                for name, choice in choices.items()
            ]
        if not isinstance(choices, list):
            raise RecipeError("The recipe's layers must be a list of layer choices.")
        for choice in choices:
            _check_keys(LayerChoice, choice, "A layer choice")
            if "name" not in choice:
                raise RecipeError("Each layer choice needs the name of a layer.")
        return cls(**{**values, "layers": tuple(LayerChoice(**choice) for choice in choices)})


def check_aim(aim: str) -> None:
    """Refuse what no recipe can be made to save.

    Raises:
        RecipeError: it is none of `AIMS`.
    """
    _check_choice(aim, AIMS, "What to minimize")


def _make_plain(values: "Recipe | LayerChoice") -> None:
    """Turn numbers of other libraries, such as NumPy's, into Python's own."""
    for field in fields(values):
        value = getattr(values, field.name)
        if isinstance(value, Integral) and not isinstance(value, bool):
            object.__setattr__(values, field.name, int(value))
        elif isinstance(value, Real) and not isinstance(value, bool):
            object.__setattr__(values, field.name, float(value))


def _check_keys(cls: type, values: object, what: str) -> None:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{what} must be a JSON object with named values.")
    known = [field.name for field in fields(cls)]
    for key in values:
        if key not in known:
            raise RecipeError(f"{what} has no {key!r}; it can have {', '.join(known)}.")


def _check_choice(value: Any, choices: tuple[Any, ...], what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise RecipeError(f"{what} is {value!r}; it must be one of {listed}.")


def _check_ratio(value: Any, what: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:  # NaN fails the comparison too
        raise RecipeError(f"{what} is {value!r}; it must be at least 0 and below 1.")


def _check_int(value: Any, least: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RecipeError(f"{what} is {value!r}; it must be a whole number of at least {least}.")
