// The panel as a component of Streamlit.

import styles from "./panel.css" with { type: "css" };
import { Panel } from "./panel.js";

const panels = new Map(); // by what they stand in: Streamlit calls again with new data
const kept = new Map(); // counts by the name that the panel's data call them by
const MOST_KEPT = 8;

// Called with the component whenever its data change.
export function mount({ parentElement, data, setStateValue }) {
  const panel = panels.get(parentElement);
  if (panel) panel.update(withCounts(data));
  else {
    style(parentElement);
    const send = (choice) => setStateValue("choice", choice);
    panels.set(parentElement, new Panel(parentElement, withCounts(data), send));
  }
  return () => {
    panels.get(parentElement)?.destroy();
    panels.delete(parentElement);
  };
}

// The component that brings the counts, and shows nothing.
export function keep({ data }) {
  kept.delete(data.model);
  kept.set(data.model, data.counts);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  for (const panel of panels.values()) {
    if (panel.data.model === data.model) panel.update({ ...panel.data, counts: data.counts });
  }
}

function withCounts(data) {
  return { ...data, counts: kept.get(data.model) ?? null };
}

// Streamlit puts a component into a root of its own, so that neither styles the other.
function style(parent) {
  const root = parent.getRootNode();
  if (!root.adoptedStyleSheets.includes(styles)) root.adoptedStyleSheets.push(styles);
}
