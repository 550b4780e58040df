"""What the panel's JavaScript says and covers, whatever is open (`js/panel.js`)."""

from explorer.preview.coverage import COVERAGE
from explorer.recipe import RATIO_PATTERNS
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
    "ratio_patterns": RATIO_PATTERNS,
    "precisions": PRECISIONS,
    "coverage": COVERAGE,
    "help": {name: HELP[name] for name in ("pattern", "ratio", "weight_bits", "activation_bits")},
}
