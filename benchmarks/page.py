"""What a browser keeps of Streamlit's messages: the page's elements, the widgets' states, a cache.

Read off Streamlit 1.67's own front end; protocol buffers are those of the installed package.
"""

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from explorer.recipe import Recipe

STATUS = re.compile(
    r'class="ce-status (ce-\w+)"><h1>(.*?)</h1><span class="ce-setting">(.*?)</span>'
    r'<span class="ce-achieved">.*?</span>'
    r'<span class="ce-work" role="status">(.*?)</span>'
)
PANEL = "explorer_mount"


def _selected(element: Any) -> str | None:
    """None where nothing is."""
    if element.set_value:
        return element.raw_value if element.HasField("raw_value") else None
    return element.options[element.default] if element.HasField("default") else None


def _slider(element: Any) -> tuple[str, list[Any]]:
    """One of numbers, or one of words."""
    if element.options:
        named = element.raw_value or [element.options[int(at)] for at in element.default]
        return "string_array_value", list(named)
    return "double_array_value", list(element.value if element.set_value else element.default)


# What a widget shows, as the element says it: (field of `WidgetState`, value).
WIDGETS: dict[str, Callable[[Any], tuple[str, Any]]] = {
    "slider": _slider,
    "selectbox": lambda e: ("string_value", _selected(e)),
    "button_group": lambda e: (
        "string_array_value",
        list(e.raw_values) if e.set_value else [e.options[i].content for i in e.default],
    ),
    "checkbox": lambda e: ("bool_value", e.value if e.set_value else e.default),
    "number_input": lambda e: ("double_value", e.value if e.set_value else e.default),
    "text_input": lambda e: ("string_value", e.value if e.set_value else e.default),
    "file_uploader": lambda _: ("file_uploader_state_value", None),
}


@dataclass(frozen=True)
class Shown:
    """What the status line and the panel say; `cards` are (kind, value, original) by title."""

    title: str
    setting: str
    work: str
    busy: bool
    cards: dict[str, tuple[str, str, str]]

    @property
    def measured(self) -> bool:
        """True once nothing is on its way and all cards have numbers of this setting."""
        kinds = {kind for kind, _, _ in self.cards.values()}
        done = {"computed", "measured", "noisy", "unscored"}
        return not self.busy and bool(kinds) and kinds <= done


@dataclass(frozen=True)
class _Node:
    delta: Delta
    run: str


class Page:
    """The elements by their places (`delta_path`), and the state of each widget by its id."""

    def __init__(self) -> None:
        self.states: dict[str, WidgetState] = {}
        self.hash = ""  # Streamlit's name for the page that is open
        self.session = ""
        self._nodes: dict[tuple[int, ...], _Node] = {}
        self._run = ""
        self._fragments: tuple[str, ...] = ()
        self._cache: dict[str, tuple[Delta, int, str]] = {}  # with the run that last used it
        self._runs = 0
        self._choices = 0
        self._last_panel: tuple[Any, str] | None = None
        self._oldest = 2  # runs that a message stays in the cache

    def take(self, message: ForwardMsg) -> None:
        """Take in one message of the server."""
        match message.WhichOneof("type"):
            case "new_session":
                self._run = message.metadata.run.script_run_id
                self._fragments = tuple(message.metadata.run.fragment_ids)
                self.hash = message.new_session.page_script_hash
                self.session = message.new_session.initialize.session_id or self.session
                self._oldest = message.new_session.config.max_cached_message_age
            case "delta":
                if message.metadata.cacheable:
                    self._cache[message.hash] = self._cached(message.delta)
                self._place(message, message.delta)
            case "ref_hash":
                delta = self._cache[message.ref_hash][0]
                self._cache[message.ref_hash] = self._cached(delta)
                self._place(message, delta)
            case "script_finished":
                self._finish(message)

    @property
    def cached(self) -> list[str]:
        """Hashes of the messages that the server needn't send again."""
        return list(self._cache)

    def state(self, label: str, value: Any) -> WidgetState:
        """A widget's state as it would be after a person has set it to a value."""
        kind, widget = self._widget(label)
        return _state(widget.id, WIDGETS[kind](widget)[0], value)

    @property
    def text(self) -> str:
        """All HTML of the page."""
        return "".join(e.html.body for e in self._elements() if e.WhichOneof("type") == "html")

    @property
    def panel(self) -> dict[str, Any] | None:
        """What was sent to the live panel."""
        found = self._panel()
        return json.loads(found[0].json) if found is not None else None

    def choice(self, recipe: Recipe) -> tuple[WidgetState, str]:
        """The panel's state once a person has chosen a recipe, and the fragment that it is in.

        Raises:
            LookupError: there is no panel yet.
        """
        found = self._panel() or self._last_panel
        if found is None:
            raise LookupError("There is no panel.")
        element, fragment = found
        self._choices += 1
        told = {"number": self._choices, "recipe": json.loads(recipe.to_json())}
        return _state(element.id, "json_value", json.dumps({"choice": told})), fragment

    def _panel(self) -> tuple[Any, str] | None:
        """The panel and its fragment, or None while it is being drawn anew."""
        for node in self._nodes.values():
            element = node.delta.new_element
            if element.bidi_component.component_name == PANEL:
                self._last_panel = element.bidi_component, node.delta.fragment_id
                return self._last_panel
        return None

    @property
    def errors(self) -> list[str]:
        """Tracebacks, and the app's own sentences about what went wrong."""
        found = []
        for element in self._elements():
            if element.WhichOneof("type") == "exception":
                found.append(f"{element.exception.type}: {element.exception.message}")
            elif element.WhichOneof("type") == "alert":
                found.append(element.alert.body)
        return found

    @property
    def shown(self) -> Shown | None:
        """The answer on the screen, or None before the first one."""
        text = self.text
        status = STATUS.search(text)
        if status is None:
            return None
        state, title, setting, work = (html.unescape(part) for part in status.groups())
        numbers = self.panel["numbers"] if self.panel is not None else []
        cards = {n["title"]: (n["kind"], n["text"], n["original_text"]) for n in numbers}
        return Shown(title, setting, work, state == "ce-busy", cards)

    def _widget(self, label: str) -> tuple[str, Any]:
        """The kind of the one widget with this label, and its element."""
        found = [(kind, element) for kind, element in self._widgets() if element.label == label]
        if len(found) != 1:
            raise LookupError(f"{len(found)} widgets are called {label!r}.")
        return found[0]

    def _elements(self) -> Iterator[Any]:
        for node in self._nodes.values():
            if node.delta.WhichOneof("type") == "new_element":
                yield node.delta.new_element

    def _widgets(self) -> Iterator[tuple[str, Any]]:
        for element in self._elements():
            kind = element.WhichOneof("type")
            if kind in WIDGETS:
                yield kind, getattr(element, kind)

    def _cached(self, delta: Delta) -> tuple[Delta, int, str]:
        return delta, self._runs, delta.fragment_id

    def _place(self, message: ForwardMsg, delta: Delta) -> None:
        place = tuple(message.metadata.delta_path)
        self._nodes[place] = _Node(delta, self._run)
        kind = delta.new_element.WhichOneof("type")
        if kind in WIDGETS:
            self._take_state(kind, getattr(delta.new_element, kind))

    def _take_state(self, kind: str, widget: Any) -> None:
        is_told = getattr(widget, "set_value", False)
        field, value = WIDGETS[kind](widget)
        if value is None:
            if is_told:
                self.states.pop(widget.id, None)
        elif is_told or widget.id not in self.states:
            self.states[widget.id] = _state(widget.id, field, value)

    def _finish(self, message: ForwardMsg) -> None:
        """Remove what the run that has just ended didn't draw again."""
        status = message.script_finished
        if status == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._nodes = {p: n for p, n in self._nodes.items() if n.run == self._run}
            present = {widget.id for _, widget in self._widgets()}
            present |= {e.bidi_component.id for e in self._elements()}
            self.states = {name: s for name, s in self.states.items() if name in present}
        elif status == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY:
            self._nodes = {
                p: n
                for p, n in self._nodes.items()
                if n.run == self._run or n.delta.fragment_id not in self._fragments
            }
        else:
            return
        self._runs += 1
        self._cache = {
            name: (delta, used, fragment)
            for name, (delta, used, fragment) in self._cache.items()
            if (self._fragments and fragment not in self._fragments)
            or self._runs - used <= self._oldest
        }


def _state(name: str, field: str, value: Any) -> WidgetState:
    state = WidgetState(id=name)
    if field.endswith("_array_value"):
        getattr(state, field).data.extend(value)
    elif field == "file_uploader_state_value":
        state.file_uploader_state_value.CopyFrom(value)
    else:
        setattr(state, field, value)
    return state
