"""What work on a model says as it goes on: typed events, each with its own JSON form.

The pipeline yields them, processes send them as JSON, and whoever waits gets the same values back.
Loads nothing heavy, so that the server can read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from explorer.description import Artifact, Description, Host, Relabelling
from explorer.findings import Sensitivity, Spent
from explorer.recipe import Recipe
from explorer.report import Latency, Plan, Profile, Quality
from explorer.typed_json import from_plain, to_plain

Document = Mapping[str, Any]  # JSON that is handed on as it is, to JavaScript or a drawing
KIND = "event"


@dataclass(frozen=True)
class Hosted:
    """The machine that the numbers come from."""

    host: Host


@dataclass(frozen=True)
class Described:
    """The original, as it was opened."""

    description: Description


@dataclass(frozen=True)
class Profiled:
    """The counts of a file."""

    profile: Profile


@dataclass(frozen=True)
class Planned:
    """What the graph allows of the recipe."""

    plan: Plan


@dataclass(frozen=True)
class Estimated:
    """The counts that the plan will come to."""

    profile: Profile


@dataclass(frozen=True)
class Counted:
    """What the panel estimates with (`explorer.preview.counts`)."""

    counts: Document


@dataclass(frozen=True)
class Encoded:
    """The compressed model is written."""

    artifact: Artifact


@dataclass(frozen=True)
class Timed:
    """A latency; a later one of the same run is more reliable."""

    latency: Latency


@dataclass(frozen=True)
class Scored:
    """The quality, `on_first` samples only or on all."""

    quality: Quality
    on_first: bool = False


@dataclass(frozen=True)
class ScoredQuickly:
    """The quality of a quick reconstruction, on few samples: about what the file's will be."""

    quality: Quality


@dataclass(frozen=True)
class ScoredWithoutReconstruction:
    """The quality of the same recipe where the weights that stay are left as they are."""

    quality: Quality


@dataclass(frozen=True)
class Relabelled:
    """A numbering of the labels that fits the original much better; None where there is none."""

    relabelling: Relabelling | None


@dataclass(frozen=True)
class Answered:
    """How many different classes the original chooses on samples without labels.

    None where it has no class scores.
    """

    classes: int | None


@dataclass(frozen=True)
class ProbesCounted:
    """How many results a long measurement will have."""

    count: int


@dataclass(frozen=True)
class Probed:
    """What compressing one place alone costs."""

    sensitivity: Sensitivity

    @property
    def key(self) -> str:
        """Tells results of the measurement apart."""
        return self.sensitivity.probe.key


@dataclass(frozen=True)
class Surveyed:
    """A setting of a survey, scored on the first samples.

    `output_error` is None where it isn't a number, and all four where there are no samples; `falls`
    says that less of the quality is better.
    """

    name: str
    recipe: Recipe
    output_error: float | None = None
    quality: float | None = None
    reference: float | None = None
    falls: bool | None = None

    @property
    def key(self) -> str:
        """Tells results of the survey apart."""
        return self.name


@dataclass(frozen=True)
class SurveyTimed:
    """The latency of a setting of a survey."""

    name: str
    latency: Latency

    @property
    def key(self) -> str:
        """Tells results of the survey apart."""
        return latency_key(self.name)


@dataclass(frozen=True)
class Bought:
    """The recipe found within an accuracy budget."""

    spent: Spent


@dataclass(frozen=True)
class ModelRead:
    """A dropped model was read, and lies at `path`; `kind` is that of its file."""

    path: str
    kind: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class DataRead:
    """Dropped samples were read, or made up where `calibration` is None.

    `pairs` are labels as the file writes them, each with its class; `preprocessing` is how samples
    were prepared, as JSON; `sizes` are those of the samples, by input.
    """

    test: str
    calibration: str | None
    notes: tuple[str, ...]
    classes: tuple[str, ...] = ()
    pairs: tuple[tuple[str, int], ...] = ()
    preprocessing: Document | None = None
    sizes: Mapping[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Noted:
    """Sentences on an import beside what came of it."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """What a compressed model does otherwise (`measure.changes.Changes`), and its samples.

    `changes` is None without class scores.
    """

    changes: Document | None
    pictures: tuple[Document, ...]


@dataclass(frozen=True)
class WeightsCompared:
    """How a layer's weights are distributed before and after; None where they can't be read."""

    histograms: Document | None


@dataclass(frozen=True)
class NodesTimed:
    """The nodes of a file with their costs and times (`measure.roofline`)."""

    nodes: tuple[Document, ...]


@dataclass(frozen=True)
class LimitsMeasured:
    """What this machine can do at most (`measure.roofline`)."""

    limits: Mapping[str, float]


RunEvent = (
    Planned
    | Estimated
    | Counted
    | Encoded
    | Profiled
    | Timed
    | Scored
    | ScoredQuickly
    | ScoredWithoutReconstruction
)
OriginalEvent = Hosted | Described | Profiled | Timed | Scored | Relabelled | Answered
Finding = Probed | Surveyed | SurveyTimed
ImportEvent = ModelRead | DataRead | Noted
PageEvent = Compared | WeightsCompared | NodesTimed | LimitsMeasured
Event = RunEvent | OriginalEvent | ProbesCounted | Finding | Bought | ImportEvent | PageEvent

EventType = TypeVar("EventType")

_KINDS: dict[str, type] = {kind.__name__: kind for kind in Event.__args__}


def latency_key(name: str) -> str:
    """The key of the latency of a setting of a survey."""
    return f"{name}:latency"


def to_json(event: Event) -> dict[str, Any]:
    """An event as JSON, with its kind.

    >>> to_json(ProbesCounted(3))
    {'count': 3, 'event': 'ProbesCounted'}
    """
    return {**to_plain(event), KIND: type(event).__name__}


def from_json(values: Mapping[str, Any]) -> Event:
    """The inverse of `to_json`; what comes from a process may be anything.

    Raises:
        ValueError: it is no event, or not of the types that its kind has.
    """
    kind = values.get(KIND) if isinstance(values, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError("This is no event.")
    content = {name: value for name, value in values.items() if name != KIND}
    event: Event = from_plain(content, _KINDS[kind])
    return event


def newest(events: tuple[Event, ...], kind: type[EventType]) -> EventType | None:
    """The last event of a kind; None where there is none."""
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def require(events: tuple[Event, ...], kind: type[EventType]) -> EventType:
    """The last event of a kind that the work always yields."""
    event = newest(events, kind)
    assert event is not None
    return event
