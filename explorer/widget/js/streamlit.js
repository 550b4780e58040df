// The panel as a component of Streamlit.

import styles from "./panel.css" with { type: "css" };
import { Panel } from "./panel.js";

const panels = new Map(); // by what they stand in: Streamlit calls again with new data
const kept = new Map(); // counts and survey by the name that the panel's data call them by
const MOST_KEPT = 8;
let history; // outlives the panel, which comes and goes with its page
const NOTHING = { counts: null, surveyed: null };

// Called with the component whenever its data change.
export function mount({ parentElement, data, setStateValue }) {
  const panel = panels.get(parentElement);
  if (panel) panel.update(withKept(data));
  else {
    style(parentElement);
    const send = (choice) => setStateValue("choice", choice);
    const made = new Panel(parentElement, withKept(data), send, history);
    history = made.history;
    panels.set(parentElement, made);
  }
  return () => {
    panels.get(parentElement)?.destroy();
    panels.delete(parentElement);
  };
}

// The component that brings a part of what is large and seldom changes, and shows nothing.
export function keep({ data: { model, ...part } }) {
  const all = { ...kept.get(model), ...part };
  kept.delete(model);
  kept.set(model, all);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  for (const panel of panels.values()) {
    if (panel.data.model === model) panel.update({ ...panel.data, ...part });
  }
}

function withKept(data) {
  return { ...data, ...NOTHING, ...kept.get(data.model) };
}

// Streamlit puts a component into a root of its own, so that neither styles the other.
function style(parent) {
  const root = parent.getRootNode();
  if (!root.adoptedStyleSheets.includes(styles)) root.adoptedStyleSheets.push(styles);
}
