// The trade-off: every run by its cost and its quality, and where you are now.
//
// `points`: { label, recipe (null: the original), costs: { file_bytes, macs, latency }, quality, low,
// high, text }. Costs and quality are measured ones. `range` are the ends of the axis of quality,
// `fronts` by cost the corners of the Pareto front, `intervals` those of costs that are measured, and
// `beaten` the costs by which another point is better beyond noise (`explorer.fronts`).

import { draw, make, newId, say } from "./elements.js";
import { formatBytes, formatCount, formatSpeedup } from "./format.js";
import { keyOf } from "./recipe.js";

// How a cost is written, and how a tick of its axis; a latency is a ratio to the original's.
export const COSTS = {
  file_bytes: { text: formatBytes, tick: formatBytes, label: "file_bytes" },
  macs: { text: formatCount, tick: formatCount, label: "macs" },
  latency: { text: formatSpeedup, tick: trim, label: "latency_ratio" },
};
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [226, 46, 12, 10, 24];
const [FEW_X, FEW_Y] = [4, 4]; // ticks

export class Chart {
  // `choose` takes the recipe of a point; `undo` and `redo` go through what was chosen.
  constructor(words, choose, undo, redo) {
    this.choose = choose;
    this.cost = "file_bytes";
    const name = newId("cost");
    const radios = Object.entries(COSTS).map(([key, { label }]) => {
      const input = make("input", { type: "radio", name, value: key, checked: key === this.cost });
      input.addEventListener("change", () => {
        this.cost = key;
        this.#paint();
      });
      return make("label", {}, input, make("span", {}, words.numbers[label]));
    });
    this.undo = button("Undo", "↶", undo);
    this.redo = button("Redo", "↷", redo);
    const kinds = make("div", { class: "segments", role: "group", "aria-label": "Cost" }, ...radios);
    this.empty = make("p", { class: "empty" });
    this.svg = draw("svg", { height: HEIGHT, role: "group", "aria-label": words.runs });
    this.detail = make("p", { class: "detail" });
    this.root = make(
      "section",
      { class: "chart", "aria-label": words.trade_off },
      make("header", {}, make("h2", {}, words.trade_off), kinds, this.undo, this.redo),
      this.svg,
      this.empty,
      this.detail,
    );
    this.observer = new ResizeObserver(() => this.#paint());
    this.observer.observe(this.root);
  }

  destroy() {
    this.observer.disconnect();
  }

  // `at` are the costs that the panel estimates for the recipe, which may not be measured yet.
  update(told, recipe, at, can) {
    Object.assign(this, { told, recipe, at });
    this.undo.disabled = !can.undo;
    this.redo.disabled = !can.redo;
    this.#paint();
  }

  #paint() {
    const width = this.root.clientWidth;
    if (!this.told || !width) return;
    const known = this.told.points.filter((point) => point.costs[this.cost] != null);
    this.svg.classList.toggle("hidden", !known.length);
    say(this.empty, known.length ? "" : this.told.empty);
    if (!known.length) return;
    const own = keyOf(this.recipe);
    const here = this.at?.[this.cost];
    const xs = [...known.map((point) => point.costs[this.cost]), ...(here ? [here] : [])];
    const x = scale(0, 1.06 * Math.max(...xs), LEFT, width - RIGHT);
    const ends = this.told.falls ? [TOP, HEIGHT - BOTTOM] : [HEIGHT - BOTTOM, TOP]; // better is up
    const y = scale(...this.told.range, ...ends);
    const parts = [...this.#axes(x, y, width), this.#front(x, y, width)];
    if (here && !known.some((point) => keyOf(point.recipe) === own)) {
      const line = { x1: x(here), x2: x(here), y1: TOP, y2: HEIGHT - BOTTOM, class: "here" };
      parts.push(draw("line", line));
    }
    for (const point of known) parts.push(this.#point(point, x, y, own));
    this.svg.setAttribute("width", width);
    this.svg.replaceChildren(...parts);
  }

  #axes(x, y, width) {
    const { tick } = COSTS[this.cost];
    const parts = [];
    for (const value of ticks(x.low, x.high, FEW_X)) {
      const label = { x: x(value), y: HEIGHT - 8, class: "tick", "text-anchor": "middle" };
      parts.push(draw("text", label, tick(value)));
    }
    for (const value of ticks(y.low, y.high, FEW_Y)) {
      const line = { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "grid" };
      const label = { x: LEFT - 6, y: y(value) + 4, class: "tick", "text-anchor": "end" };
      parts.push(draw("line", line), draw("text", label, this.#quality(value)));
    }
    return parts;
  }

  #quality(value) {
    if (this.told.unit === "dB") return `${trim(value)} dB`;
    return this.told.unit === "%" ? `${trim(100 * value)} %` : String(Number(value.toPrecision(6)));
  }

  #front(x, y, width) {
    const front = this.told.fronts[this.cost];
    const steps = front.map(([cost, quality], at) => {
      const before = at ? front[at - 1][1] : quality;
      return `${at ? "L" : "M"}${x(cost)},${y(before)} L${x(cost)},${y(quality)}`;
    });
    const end = `L${width - RIGHT},${y(front.at(-1)[1])}`;
    return draw("path", { d: `${steps.join(" ")} ${end}`, class: "front" });
  }

  #point(point, x, y, own) {
    const [cx, cy] = [x(point.costs[this.cost]), y(point.quality)];
    const current = keyOf(point.recipe) === own;
    const kind = current ? "current" : point.original ? "original" : "tried";
    const isBeaten = point.beaten.includes(this.cost);
    const isUnsure = this.cost === "latency" && !point.reliable;
    const doubt = isUnsure ? ", not reliable: the machine was busy" : "";
    const cost = COSTS[this.cost].text(point.costs[this.cost]);
    const label = `${point.label}: ${point.text}, ${cost}${doubt}`;
    const parts = [draw("circle", { cx, cy, r: 12, class: "hit" })];
    if (point.low !== null) {
      const [y1, y2] = [point.low, point.high].map((value) => within(y(value)));
      parts.push(draw("line", { x1: cx, x2: cx, y1, y2, class: "interval" }));
    }
    const across = point.intervals[this.cost];
    if (across) {
      const [x1, x2] = across.map((value) => Math.min(x(x.high), x(value)));
      parts.push(draw("line", { x1, x2, y1: cy, y2: cy, class: "interval" }));
    }
    parts.push(
      point.original
        ? draw("path", { d: star(cx, cy, 9), class: "mark" })
        : draw("circle", { cx, cy, r: current ? 7 : 5, class: "mark" }),
    );
    const about = { class: `point ${kind}${isUnsure ? " unsure" : ""}${isBeaten ? " beaten" : ""}`, tabindex: 0, role: "button", "aria-label": label };
    const root = draw("g", about, ...parts);
    root.addEventListener("pointerenter", () => say(this.detail, label));
    root.addEventListener("focus", () => say(this.detail, label));
    root.addEventListener("click", () => this.choose(point.recipe));
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.choose(point.recipe);
    });
    return root;
  }
}

// Round numbers between two, about so many.
export function ticks(low, high, few) {
  const rough = (high - low) / few;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((each) => each * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(at * step);
  return found;
}

function scale(low, high, from, to) {
  const map = (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  return Object.assign(map, { low, high });
}

// A height on the page that doesn't leave the chart.
function within(y) {
  return Math.min(HEIGHT - BOTTOM, Math.max(TOP, y));
}

function trim(value) {
  return String(Number(value.toFixed(2)));
}

function button(name, sign, act) {
  const attributes = { type: "button", class: "sign", "aria-label": name, title: name };
  const made = make("button", attributes, sign);
  made.addEventListener("click", act);
  return made;
}

function star(x, y, size) {
  const corners = Array.from({ length: 10 }, (_, at) => {
    const [radius, angle] = [at % 2 ? size * 0.42 : size, (Math.PI * (at - 2.5)) / 5];
    return `${x + radius * Math.cos(angle)},${y + radius * Math.sin(angle)}`;
  });
  return `M${corners.join("L")}Z`;
}
