"""An outcome by hand, in which every name is a stranger's idea of a name."""

from dataclasses import replace
from typing import Any

from explorer.description import Host
from explorer.exports.outcome import Files, Number, Outcome, Point
from explorer.recipe import LayerChoice, Recipe
from explorer.report import Latency, LayerPlan, Plan, Profile, Quality, Report

HOSTILE = (
    "</script><script>alert(1)</script>",
    "'; import os; os._exit(3) #",
    '"""\nraise SystemExit(3)\n"""',
    "`{{x}}` ${y} %s {0} \\",
    "| a | ![b](http://evil.test/b.png) <img src=x onerror=alert(1)>",
    "]]> -->\u2028\u202e\x00 www.evil.test",
)
PROFILE = Profile(1000, 900, 5000, 4000, 3000, 3500, 100)
LATENCY = Latency(1e-4, 1e-6, 9e-5, 50, 1, "onnxruntime 1", True, 0.5, 0.45, 0.55, 1.0, 2e-4)
QUALITY = Quality("accuracy", 0.91, 0.90, 0.92, 1000, 0.93, 0.001)


def layer(name: str, **changes: Any) -> LayerPlan:
    return replace(LayerPlan(name, "Conv", 16, 8, 0.5, 4, "int4", group="g"), **changes)


def outcome(**changes: Any) -> Outcome:
    """With all that an outcome can have."""
    recipe = Recipe("channel", 0.3, layers=tuple(LayerChoice(name, 0.5) for name in HOSTILE))
    original = Report("a" * 64, HOSTILE[0], PROFILE)
    small = Report("b" * 64, HOSTILE[1], replace(PROFILE, params=500), LATENCY, QUALITY)
    number = Number("File size", "The file.", "2 kB", "4 kB", "−50 %", kind="computed", share=0.5)
    costs = {"file_bytes": 4000.0, "macs": 5000.0, "latency": 1.0}
    less = {"file_bytes": 2000.0, "macs": 2500.0, "latency": None}
    made = Outcome(
        title=HOSTILE[4],
        stem="model",
        setting=HOSTILE[3],
        day="2026-11-23",
        recipe=recipe,
        files=Files(*HOSTILE[:3]),
        original=original,
        compressed=small,
        plan=Plan(original.model_id, recipe, tuple(map(layer, HOSTILE)), ()),
        numbers=(number, replace(number, title="Packed", is_headline=False)),
        points=(
            Point("original", costs, 0.93, None, None, "93 %", is_original=True),
            Point(HOSTILE[0], less, 0.91, 0.90, 0.92, "91 %", is_current=True),
        ),
        remarks=(f"Layer {HOSTILE[4]!r} is odd.", HOSTILE[5]),
        advice=("Open it so.",),
        clock="It was timed.",
        host=Host(HOSTILE[3], 2, "onnxruntime 1", None),
        inputs=((HOSTILE[2], "float32", f"{HOSTILE[5]} x 3"),),
        is_weight_only=True,
    )
    return replace(made, **changes)


def named(text: str) -> Outcome:
    """With this text wherever a stranger's may be."""
    given = outcome()
    profile = replace(given.compressed.profile, uncounted_ops=(text,))
    latency = replace(LATENCY, runtime=text)
    layers = (layer(text, op=text, storage=text, skipped=text), layer(text, unprunable=text))
    number = Number(text, text, text, text, text, text, kind=text, tone=text, note=text, share=0.5)
    return replace(
        given,
        title=text,
        stem=text,
        setting=text,
        recipe=replace(given.recipe, layers=(LayerChoice(text, 0.5),)),
        files=Files(text, text, text),
        compressed=replace(given.compressed, profile=profile, latency=latency),
        plan=replace(given.plan, layers=layers),
        numbers=(number, number),
        points=tuple(replace(point, label=text, text=text) for point in given.points),
        remarks=(text, text),
        advice=(text,),
        clock=text,
        host=Host(text, 2, text, None),
        inputs=((text, text, text),),
        input_sizes={text: (1, 2)},
        not_reconstructed=text,
    )
