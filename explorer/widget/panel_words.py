"""What the panel's JavaScript says, whatever is open (`js/controls.js`)."""

from explorer.render.labels import NUMBERS, PATTERNS, PRECISIONS, PRESETS, RECIPE, RUNS, TRADE_OFF
from explorer.render.words import HELP

# The presets are those of `js/presets.js`.
PANEL = {
    "labels": dict(RECIPE),
    "numbers": dict(NUMBERS),
    "trade_off": TRADE_OFF,
    "runs": RUNS,
    "presets": dict(PRESETS),
    "patterns": PATTERNS,
    "precisions": PRECISIONS,
    "help": {name: HELP[name] for name in ("pattern", "ratio", "weight_bits", "activation_bits")},
}
