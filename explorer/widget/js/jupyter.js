// The panel as a widget of Jupyter, by way of anywidget. It stands in a shadow root, so that neither
// its styles nor Jupyter's reach the other. `_shown`, `_counts` and `_status` are what Python sends;
// above the panel stands what is open, what is being done, and what went wrong.

import panelStyles from "./panel.css" with { type: "css" };
import statusStyles from "./status.css" with { type: "css" };
import { Panel } from "./panel.js";
import { make, say } from "./elements.js";

function render({ model, el }) {
  const host = make("div", { class: "explorer-host" });
  el.append(host);
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [panelStyles, statusStyles];
  // Jupyter takes keys for commands: arrows would leave the cell, letters change it.
  host.addEventListener("keydown", (event) => event.stopPropagation());
  const status = new Status(root);
  const panel = new Panel(root, dataOf(model), (choice) => model.send(choice));
  const listeners = {
    "change:_shown": () => panel.update(dataOf(model)),
    "change:_counts": () => panel.update(dataOf(model)),
    "change:_status": () => status.update(model.get("_status")),
  };
  listeners["change:_status"]();
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
    panel.destroy();
    host.remove();
  };
}

function dataOf(model) {
  const [shown, counts] = [model.get("_shown"), model.get("_counts")];
  return { ...shown, counts: counts.name === shown.model ? counts.counts : null };
}

class Status {
  constructor(parent) {
    this.name = make("h2");
    this.setting = make("span", { class: "asked" });
    this.achieved = make("span", { class: "asked" });
    this.work = make("span", { class: "work", role: "status" });
    this.done = make("i");
    this.notice = make("p", { class: "notice", role: "alert" });
    const line = make("div", { class: "line" }, this.name, this.setting, this.achieved, this.work);
    const bar = make("div", { class: "done", "aria-hidden": "true" }, this.done);
    this.root = make("header", { class: "explorer-status" }, line, bar, this.notice);
    parent.append(this.root);
  }

  update({ name, setting, achieved, work, busy, fraction, notice }) {
    say(this.name, name);
    say(this.setting, setting);
    say(this.achieved, achieved ?? "");
    say(this.work, work);
    say(this.notice, notice);
    this.root.classList.toggle("busy", busy);
    this.done.style.width = `${100 * fraction}%`;
  }
}

export default { render };
