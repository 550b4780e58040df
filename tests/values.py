"""One small value of each kind that results are made of."""

from dataclasses import replace
from typing import TypeVar

from explorer.description import Artifact, Description, Host, Relabelling, Scoring
from explorer.events import (
    Answered,
    Bought,
    Compared,
    Counted,
    DataRead,
    Described,
    Encoded,
    Estimated,
    Event,
    Hosted,
    LimitsMeasured,
    ModelRead,
    NodesTimed,
    Noted,
    Planned,
    Probed,
    ProbesCounted,
    Profiled,
    Relabelled,
    Scored,
    ScoredQuickly,
    ScoredWithoutReconstruction,
    Surveyed,
    SurveyTimed,
    Timed,
    WeightsCompared,
)
from explorer.findings import Probe, Sensitivity, Spent
from explorer.network import Layer, TensorSpec, ValueRange
from explorer.recipe import LayerChoice, Recipe
from explorer.report import GroupPlan, Latency, LayerPlan, Plan, Profile, Quality

T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that is known by now."""
    assert value is not None
    return value


def planned(recipe: Recipe, *layers: LayerPlan) -> Plan:
    """A plan of nothing but layers."""
    return Plan("abc", recipe, layers, ())


RECIPE = Recipe(pattern="channel", ratio=0.5, layers=(LayerChoice("a", 0.25, 8),))
PROFILE = Profile(
    params=30,
    nonzero_params=28,
    macs=400,
    file_bytes=900,
    gzip_bytes=600,
    packed_bytes=120,
    peak_activation_bytes=64,
    annotation_bytes=10,
    uncounted_ops=("NonZero", "Conv (unknown shape)"),
    input_sizes={"x": (1, 3)},
)
LATENCY = Latency(0.002, 0.0001, 0.0019, 15, 1, "onnxruntime 1.0", True, 0.5, 0.4, 0.6, 1.0)
QUALITY = Quality("accuracy", 0.75, 0.5, 0.9, 8, 0.875, 0.5)
LAYER = Layer("a", "Gemm", "gemm", "a.weight", "a.bias", (4, 3), "float32", 4, 0, 1)
PLAN = Plan(
    "abc",
    RECIPE,
    (LayerPlan("a", "Gemm", 4, 2, 0.0, 8, "int8", group="a", removable=3),),
    (GroupPlan("a", ("a",), 4, (0, 2)),),
    "2 parameters belong to no layer.",
)
SENSITIVITY = Sensitivity(Probe("a", ("a",), ratio=0.5), 4, 2, PROFILE, QUALITY, 0.25)
SPENT = Spent(RECIPE, "size", 1.0, 0.5, 0.25, PROFILE, QUALITY, 0.125)
DESCRIPTION = Description(
    id="abc",
    name="net",
    remarks=("It is used as it is.",),
    inputs=(TensorSpec("x", "int64", ("batch", 3), ValueRange(0, 9, "table")),),
    outputs=(TensorSpec("y", "float32", ("?", 4)),),
    layers=(LAYER,),
    samples=8,
    labelled=True,
    made_up=False,
    scoring=Scoring("accuracy", "labels are classes", ("accuracy", "top5")),
)
ARTIFACT = Artifact("small.onnx", "def", "net small", {"x": (1, 3)}, None, False)
UNREMARKABLE = replace(DESCRIPTION, remarks=())
OPENED = Described(replace(DESCRIPTION, samples=0))
PLANNED = (Planned(PLAN), Estimated(PROFILE))
MADE = (*PLANNED, Encoded(ARTIFACT))
MEASURED = (*MADE, Profiled(PROFILE), Scored(QUALITY))

EVENTS: tuple[Event, ...] = (
    Hosted(Host("a processor", 2, "onnxruntime 1.0", None, ("open a connection",))),
    Described(DESCRIPTION),
    Profiled(PROFILE),
    Planned(PLAN),
    Estimated(PROFILE),
    Counted({"layers": [{"name": "a"}], "bits": None}),
    Encoded(ARTIFACT),
    Timed(LATENCY),
    Scored(QUALITY, on_first=True),
    ScoredQuickly(QUALITY),
    ScoredWithoutReconstruction(QUALITY),
    Relabelled(Relabelling((1, 0), 0.1, 0.9)),
    Relabelled(None),
    Answered(3),
    Answered(None),
    ProbesCounted(2),
    Probed(SENSITIVITY),
    Surveyed("channel 0.5", RECIPE, 0.1, 0.8, 0.9, False),
    Surveyed("channel 0.5", RECIPE),
    SurveyTimed("channel 0.5", LATENCY),
    Bought(SPENT),
    ModelRead("net.onnx", "ONNX", ("It was converted.",)),
    DataRead("t.npz", "c.npz", (), ("cat", "dog"), (("cat", 0),), {"mean": [0.5]}, {"x": (1, 3)}),
    DataRead("t.npz", None, ("Inputs were made up.",)),
    Noted(("There are no samples.",)),
    Compared(None, ()),
    Compared({"samples": [1]}, ({"tokens": [1, 2]},)),
    WeightsCompared(None),
    NodesTimed(({"name": "a", "macs": 12},)),
    LimitsMeasured({"macs_per_s": 1e9}),
)
