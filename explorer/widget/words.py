"""What things are called on the screen, and what they mean."""

from explorer.digits import fixed
from explorer.metrics import METRICS as ALL_METRICS
from explorer.recipe import LayerChoice, Recipe

PATTERNS = {
    "none": "Nothing",
    "channel": "Whole channels",
    "unstructured": "Single weights",
    "2:4": "2 of every 4 weights",
    "4:8": "4 of every 8 weights",
    "block": "Blocks of weights",
}
SHORT_PATTERNS = {
    "channel": "channels",
    "unstructured": "weights",
    "block": "blocks",
    "2:4": "2:4 zeros",
    "4:8": "4:8 zeros",
}
WEIGHT_BITS = {32: "32 (float)", 16: "16 (float)"}
ACTIVATION_BITS = {32: "32 (float)", 8: "8 (integer)"}
SCOPES = {"global": "over the network", "layer": "in each layer"}
CRITERIA = {
    "reconstruction": "least error after refitting",
    "l1": "L1 norm",
    "l2": "L2 norm",
    "random": "random",
}
BITS_SCOPES = {"layer": "the same in each layer", "global": "by need over the network"}
GRANULARITIES = {"tensor": "tensor", "channel": "output channel", "group": "group of inputs"}
AIMS = {"size": "Size", "macs": "MACs", "time": "Time"}
METRICS = {name: metric.title for name, metric in ALL_METRICS.items()}

HELP = {
    "pattern": (
        "What is taken out. Whole channels make the tensors smaller, and so file, memory and time. "
        "The other patterns set weights to zero inside tensors that keep their shape."
    ),
    "ratio": "The share to take out. What the graph allowed stands in the cards and the table.",
    "weight_bits": "Width of a stored weight. Below 16 bits, weights are integers with scales.",
    "activation_bits": (
        "8 rounds activations; with weights of 5 to 8 bits the products then run in integers."
    ),
    "scope": "Spread the ratio by need over the whole network, or take the same share everywhere.",
    "bits_scope": (
        "Give every layer the same number of weight bits, or spread them by need: layers get 2, 4 "
        "or 8 bits, on average at most the number chosen."
    ),
    "criterion": (
        "How the importance of a channel or weight is judged. “Least error after refitting” needs "
        "samples; without them, or without refitting, weights are judged by their L2 norm."
    ),
    "round_to": "Kept channels are a multiple of this in wide layers; odd widths run slowly.",
    "granularity": "How many weights share one scale.",
    "group_size": "Inputs that share a scale.",
    "widths": (
        "Also take out channels that a normalisation or a mean runs over, such as the residual "
        "width of a transformer and its embeddings. What stays is then averaged over fewer."
    ),
    "compensate": "Refit what stays, on calibration samples, so that it makes up for what went.",
    "keep_metadata": (
        "Exporters write stack traces with paths of their machine, doc strings and shapes beside "
        "nodes and tensors. No runtime reads them, so they are left out. The model's own metadata, "
        "such as class names and licence, stays in any case."
    ),
    "short_names": (
        "Gives tensors and nodes short names, which saves some bytes for each. Inputs and outputs "
        "keep theirs."
    ),
    "sensitivity": (
        "Compresses one place at a time, leaves all else as it is, and scores each on the first "
        "samples. Takes a while; a changed setting goes first."
    ),
    "points": (
        "How much may be lost, on the samples that sensitivity was measured on. Places that lose "
        "least for what they save are compressed; the whole network is scored at every step."
    ),
    "loss_ratio": "Lost when half of the channels of this layer's group go, and nothing else does.",
    "loss_bits": "Lost when this layer's weights have 4 bits, and all else stays as it is.",
    "seed": "Decides the criterion “random”.",
}

# What the panel itself says (`js/controls.js`); the presets are those of `js/presets.js`.
PANEL = {
    "presets": ("The original", "Half the MACs", "8-bit integers", "4-bit weights", "Fits 100 kB"),
    "patterns": PATTERNS,
    "weight_bits": WEIGHT_BITS,
    "activation_bits": ACTIVATION_BITS,
    "help": {name: HELP[name] for name in ("pattern", "ratio", "weight_bits", "activation_bits")},
}

DEFINITIONS = {
    "file_bytes": "The ONNX file as written: what you download.",
    "params": "Trainable numbers in the model, zeros included.",
    "macs": "Multiply-accumulates of one inference. FLOPs = 2 × MACs.",
    "latency": (
        "Time of one inference: the fastest of many runs with one thread, original and compressed "
        "taking turns. The interval is that of the ratio. Medians are under “All sizes”."
    ),
    **{name: metric.definition for name, metric in ALL_METRICS.items()},
    "nonzero_params": "Parameters that aren't zero.",
    "gzip_bytes": "The file compressed with gzip: what an over-the-air update costs.",
    "packed_bytes": (
        "Weights at their bit width with their scales, sparse ones as the cheaper of bitmask and "
        "index list."
    ),
    "peak_activation_bytes": "The largest set of activations alive at once in one inference.",
}

MOST_CHOICES = 6  # for single layers, that are told one by one
ANNOTATIONS = (
    "Stack traces, doc strings and shapes that exporters write beside nodes and tensors. They are "
    "left out of compressed files, and the sizes of both files are compared without them."
)
NAIVE = "The same setting without refitting what stays, scored on the same samples."


def describe(recipe: Recipe) -> str:
    """A setting in a few words: `channels −30 %, 8-bit weights`."""
    words = []
    if recipe.pattern in ("2:4", "4:8"):
        words.append(SHORT_PATTERNS[recipe.pattern])
    elif recipe.pattern != "none" and recipe.ratio:
        words.append(f"{SHORT_PATTERNS[recipe.pattern]} {_gone(recipe.ratio)}")
    if recipe.weight_bits < 32:
        mean = " on average" if recipe.spreads_bits else ""
        words.append(f"{recipe.weight_bits}-bit weights{mean}")
        if recipe.weight_bits < 16 and recipe.granularity == "group":
            words.append(f"a scale per {recipe.group_size} inputs")
        elif recipe.weight_bits < 16 and recipe.granularity == "tensor":
            words.append("one scale a tensor")
    if recipe.activation_bits < 32:
        words.append(f"{recipe.activation_bits}-bit activations")
    if len(recipe.layers) > MOST_CHOICES:
        words.append(f"{len(recipe.layers)} layers with choices of their own")
    else:
        words += [choice_in_words(choice) for choice in recipe.layers]
    if not words:
        return "nothing removed"
    return ", ".join([*words, *_unusual(recipe)])


def choice_in_words(choice: LayerChoice) -> str:
    """A choice for one layer: `conv1 −50 % 4-bit`."""
    ratio = "" if choice.ratio is None else f" {_gone(choice.ratio)}"
    return f"{choice.name}{ratio}{f' {choice.weight_bits}-bit' if choice.weight_bits else ''}"


def _gone(ratio: float) -> str:
    """−30 %, or −0.4 %; 0 % where nothing goes."""
    return f"{fixed(-100 * ratio, 0 if percent(ratio) or not ratio else 1)} %"


def _unusual(recipe: Recipe) -> list[str]:
    """What differs from the usual way of choosing what goes."""
    usual, words = Recipe(), []
    if recipe.pattern in ("channel", "unstructured", "block"):
        if recipe.scope != usual.scope:
            words.append(SCOPES[recipe.scope])
        if recipe.criterion != usual.criterion:
            words.append(CRITERIA.get(recipe.criterion, recipe.criterion))
        if recipe.criterion == "random" and recipe.seed != usual.seed:
            words.append(f"seed {recipe.seed}")
    if recipe.pattern == "channel" and recipe.round_to != usual.round_to:
        words.append(f"multiples of {recipe.round_to}")
    if recipe.pattern == "channel" and recipe.widths:
        words.append("normalised widths too")
    words += [] if recipe.compensate else ["not refitted"]
    words += ["with exporter metadata"] if recipe.keep_metadata else []
    return words + (["short names"] if recipe.short_names else [])


def percent(share: float) -> int:
    """A share as whole percent."""
    return round(100 * share)
