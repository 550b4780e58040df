"""What things are called on the screen, and what they mean."""

from explorer.digits import fixed
from explorer.metrics import METRICS as ALL_METRICS
from explorer.recipe import LayerChoice, Recipe
from explorer.render.labels import CRITERIA, SCOPES, precision, precision_text

SHORT_PATTERNS = {
    "channel": "channels",
    "unstructured": "weights",
    "block": "blocks",
    "2:4": "2:4 sparsity",
    "4:8": "4:8 sparsity",
}

HELP = {
    "pattern": (
        "Structured pruning removes whole channels, so the tensors, the file, the memory and the "
        "latency shrink. The other patterns set weights to zero and keep the tensor shapes."
    ),
    "ratio": (
        "The share of prunable channels, or of weights, to remove. The achieved share can be "
        "lower; it is shown above the panel and on the Layers page."
    ),
    "weight_bits": (
        "Precision of the stored weights. Below 16 bits, weights are integers with scales. 7, 6, 5 "
        "and 3 bits are stored in the next larger type."
    ),
    "activation_bits": (
        "INT8 quantizes the activations too; if the weights have 5 to 8 bits, integer kernels run."
    ),
    "scope": (
        "Global: one ratio for the whole network, and layers that lose least are pruned most. "
        "Layer-wise: the same ratio in every layer."
    ),
    "bits_scope": (
        "Uniform: every layer gets the same number of weight bits. Mixed precision: layers get 2, "
        "4 or 8 bits so that the error is smallest, on average at most the chosen number."
    ),
    "criterion": (
        "How channels or weights are ranked. “Reconstruction error” needs calibration samples; "
        "without them, or without weight reconstruction, L2 magnitude is used."
    ),
    "round_to": (
        "The number of remaining channels is a multiple of this in wide layers; kernels are "
        "slower at other widths."
    ),
    "int8_range": (
        "Range of 8-bit weights beside 8-bit activations. With the full range, x86 processors "
        "without VNNI overflow and compute wrong results; Arm and newer x86 processors don't."
    ),
    "granularity": "How many weights share one scale.",
    "group_size": "Number of inputs that share one scale.",
    "widths": (
        "Also prune the channels that a normalisation or a mean runs over, such as the residual "
        "width of a transformer and its embeddings. The mean is then taken over fewer channels."
    ),
    "compensate": (
        "Adjust the remaining weights on calibration samples, so that each layer's output stays "
        "close to the original's. No labels and no training."
    ),
    "keep_metadata": (
        "Exporters write stack traces (with paths on their machine), doc strings and shapes beside "
        "nodes and tensors. No runtime reads them, so they are removed unless this is on. The "
        "model's own metadata, such as class names and licence, is always kept."
    ),
    "short_names": (
        "Gives tensors and nodes short names, which saves a few bytes each. Inputs and outputs "
        "keep their names."
    ),
    "sensitivity": (
        "Compresses one layer or group at a time, leaves the rest unchanged, and scores each on "
        "the first samples. It takes a while; a new setting is measured first."
    ),
    "points": (
        "The largest loss allowed, on the samples that sensitivity was measured on. Layers that "
        "lose least for what they save are compressed; the whole network is scored at every step."
    ),
    "loss_ratio": "Loss when half of the channels of this layer's group are pruned, and no others.",
    "loss_bits": "Loss when this layer's weights are INT4 and everything else is unchanged.",
    "seed": "Seed of the criterion “Random”.",
}

DEFINITIONS = {
    "file_bytes": "Size of the ONNX file that you download.",
    "params": "Trainable parameters of the model, zeros included.",
    "macs": "Multiply-accumulates of one inference. FLOPs = 2 × MACs.",
    "latency": (
        "Time of one inference: the fastest of many runs with one thread, original and compressed "
        "interleaved. The interval is that of the latency ratio."
    ),
    **{name: metric.definition for name, metric in ALL_METRICS.items()},
    "nonzero_params": "Parameters that aren't zero.",
    "gzip_bytes": "The file compressed with gzip: the size of an over-the-air update.",
    "packed_bytes": (
        "Weights at their exact bit width with their scales; sparse weights as the smaller of "
        "bitmask and index list."
    ),
    "peak_activation_bytes": "The most bytes of activations alive at once in one inference.",
}

MOST_CHOICES = 6  # overrides that are listed one by one
ANNOTATIONS = (
    "Stack traces, doc strings and shapes that exporters write beside nodes and tensors. They are "
    "removed from compressed files, and the sizes of both files are compared without them."
)
WITHOUT = "The same setting without weight reconstruction, scored on the same samples."


def describe(recipe: Recipe) -> str:
    """A setting in a few words: `channels −30 %, INT8 weights`."""
    words = []
    if recipe.pattern in ("2:4", "4:8"):
        words.append(SHORT_PATTERNS[recipe.pattern])
    elif recipe.pattern != "none" and recipe.ratio:
        words.append(f"{SHORT_PATTERNS[recipe.pattern]} {_gone(recipe.ratio)}")
    bits = precision_text(recipe.weight_bits, recipe.activation_bits)
    words += [bits] if bits else []
    if recipe.spreads_bits:
        words.append("mixed precision")
    if recipe.weight_bits < 16 and recipe.granularity == "group":
        words.append(f"per-group ({recipe.group_size})")
    elif recipe.weight_bits < 16 and recipe.granularity == "tensor":
        words.append("per-tensor")
    if len(recipe.layers) > MOST_CHOICES:
        words.append(f"{len(recipe.layers)} layer overrides")
    else:
        words += [choice_in_words(choice) for choice in recipe.layers]
    if not words:
        return "no compression"
    return ", ".join([*words, *_unusual(recipe)])


def choice_in_words(choice: LayerChoice) -> str:
    """An override for one layer: `conv1 −50 % INT4`."""
    ratio = "" if choice.ratio is None else f" {_gone(choice.ratio)}"
    return (
        f"{choice.name}{ratio}{f' {precision(choice.weight_bits)}' if choice.weight_bits else ''}"
    )


def _gone(ratio: float) -> str:
    """−30 %, or −0.4 %; 0 % where nothing goes."""
    return f"{fixed(-100 * ratio, 0 if percent(ratio) or not ratio else 1)} %"


def _unusual(recipe: Recipe) -> list[str]:
    """What differs from the usual way of pruning."""
    usual, words = Recipe(), []
    if recipe.pattern in ("channel", "unstructured", "block"):
        if recipe.scope != usual.scope:
            words.append(SCOPES[recipe.scope].lower())
        if recipe.criterion != usual.criterion:
            words.append(_uncapitalized(CRITERIA.get(recipe.criterion, recipe.criterion)))
        if recipe.criterion == "random" and recipe.seed != usual.seed:
            words.append(f"seed {recipe.seed}")
    if recipe.pattern == "channel" and recipe.round_to != usual.round_to:
        words.append(f"alignment {recipe.round_to}")
    if recipe.pattern == "channel" and recipe.widths:
        words.append("hidden dimension")
    if recipe.rounds_activations and recipe.int8_range != usual.int8_range:
        words.append(f"{recipe.int8_range} INT8 range")
    words += [] if recipe.compensate else ["without reconstruction"]
    words += ["with exporter metadata"] if recipe.keep_metadata else []
    return words + (["short names"] if recipe.short_names else [])


def _uncapitalized(label: str) -> str:
    return label[:1].lower() + label[1:]


def percent(share: float) -> int:
    """A share as whole percent."""
    return round(100 * share)
