"""The compression explorer: prune and quantize a network, and see true numbers at once.

>>> import explorer                                              # doctest: +SKIP
>>> model = explorer.load("model.onnx")                          # doctest: +SKIP
>>> recipe = explorer.Recipe(pattern="channel", ratio=0.5, weight_bits=8)
>>> small = explorer.apply(model, explorer.plan(model, recipe))  # doctest: +SKIP

Importing the package loads nothing heavy: each name brings its module on first use.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# NumPy's threads wait for more work with the processor in use, and for as long as that lasts the
# runtime's go without; read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
# ONNX Runtime sends the names and hashes of models to its makers, unless told before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

if TYPE_CHECKING:
    from explorer.compress.apply import apply
    from explorer.compress.calibration import Calibration, calibrate
    from explorer.compress.estimate import estimate
    from explorer.compress.plan import plan
    from explorer.errors import ExplorerError
    from explorer.measure.latency import measure_latency
    from explorer.measure.profile import profile
    from explorer.measure.quality import evaluate
    from explorer.model import Model
    from explorer.opening import load
    from explorer.recipe import LayerChoice, Recipe
    from explorer.report import Latency, Plan, Profile, Quality, Report

_HOME = {
    "apply": "explorer.compress.apply",
    "Calibration": "explorer.compress.calibration",
    "calibrate": "explorer.compress.calibration",
    "estimate": "explorer.compress.estimate",
    "plan": "explorer.compress.plan",
    "ExplorerError": "explorer.errors",
    "load": "explorer.opening",
    "measure_latency": "explorer.measure.latency",
    "profile": "explorer.measure.profile",
    "evaluate": "explorer.measure.quality",
    "Model": "explorer.model",
    "LayerChoice": "explorer.recipe",
    "Recipe": "explorer.recipe",
    "Latency": "explorer.report",
    "Plan": "explorer.report",
    "Profile": "explorer.report",
    "Quality": "explorer.report",
    "Report": "explorer.report",
}

__all__ = [
    "Calibration",
    "ExplorerError",
    "Latency",
    "LayerChoice",
    "Model",
    "Plan",
    "Profile",
    "Quality",
    "Recipe",
    "Report",
    "apply",
    "calibrate",
    "estimate",
    "evaluate",
    "load",
    "measure_latency",
    "plan",
    "profile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


if "IPython" in sys.modules:  # a notebook may be running
    import_module("explorer.render.notebook_tables").register()
