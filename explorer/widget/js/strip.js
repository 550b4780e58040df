// The network as a strip: a column for each layer, as high as the square root of its channels, filled
// as far as channels stay, coloured by the bits of its weights, hatched where they are zero. Its edge can be dragged.

import { LARGEST_RATIO, choiceOf } from "./recipe.js";
import { draw, make, newId, say } from "./elements.js";
import { groupOf } from "../../preview/js/plan.js";
import { formatCount, formatPercent } from "./format.js";

const [HEIGHT, GAP, LEAST, WIDEST, NARROWEST] = [176, 0.2, 0.14, 96, 11];
const STEP = 0.05; // of an arrow key
const LEVELS = [2, 4, 8, 16, 32]; // of the colours

export class Strip {
  // `move` and `choose` take (layer's place, ratio).
  constructor(words, move, choose) {
    this.words = words;
    this.move = move;
    this.choose = choose;
    this.hatch = newId("hatch");
    this.svg = draw("svg", { height: HEIGHT, role: "group", "aria-label": "Layers" });
    this.scroller = make("div", { class: "scroller" }, this.svg);
    this.detail = make("p", { class: "detail" });
    this.scale = make("span");
    const key = legend(words.precisions, this.scale);
    this.root = make("div", { class: "strip" }, this.scroller, this.detail, key);
    this.columns = [];
    this.svg.addEventListener("pointerleave", () => this.#show(null));
    this.width = 0;
    this.observer = new ResizeObserver(() => this.#lay());
    this.observer.observe(this.scroller);
  }

  destroy() {
    this.observer.disconnect();
  }

  // `planned` are the layers of a plan, `macs` what each costs then.
  update(counts, recipe, planned, macs) {
    const isNew = counts !== this.counts;
    Object.assign(this, { counts, recipe, planned, macs });
    if (isNew) this.#build(counts);
    this.columns.forEach((column, place) => this.#fill(column, place));
    this.#show(this.shown ?? null);
  }

  #build(counts) {
    const most = Math.max(...counts.layers.map((layer) => layer.channels));
    say(this.scale, scaleText(most));
    this.columns = counts.layers.map((layer, place) => {
      const column = {
        height: heightOf(layer.channels, most) * (HEIGHT - 2),
        outline: draw("rect", { class: "outline" }),
        body: draw("rect", { class: "body" }),
        zeros: draw("rect", { class: "zeros", fill: `url(#${this.hatch})` }),
        edge: draw("rect", { class: "edge" }),
        hit: draw("rect", { class: "hit" }),
        canShrink: groupOf(counts, place) !== undefined,
      };
      const { outline, zeros, body, edge, hit } = column;
      column.root = draw("g", { class: "column" }, outline, body, zeros, edge, hit);
      if (column.canShrink) {
        column.root.setAttribute("role", "slider");
        column.root.setAttribute("aria-valuemin", 0);
        column.root.setAttribute("aria-valuemax", 100 * LARGEST_RATIO);
        column.root.setAttribute("aria-label", `Pruned channels of ${layer.name}`);
      } else {
        column.root.setAttribute("role", "img");
      }
      column.root.setAttribute("tabindex", 0);
      this.#listen(column, place);
      return column;
    });
    const size = { width: 5, height: 5, patternUnits: "userSpaceOnUse" };
    const line = draw("path", { d: "M-1,6 L6,-1", class: "hatch" });
    const pattern = draw("pattern", { id: this.hatch, ...size }, line);
    this.svg.replaceChildren(draw("defs", {}, pattern), ...this.columns.map((c) => c.root));
    this.shown = null;
    this.width = 0;
    this.#lay();
  }

  #lay() {
    const width = this.scroller.clientWidth;
    const count = this.columns.length;
    if (!width || !count || width === this.width) return;
    this.width = width;
    const pitch = Math.min(WIDEST, Math.max(NARROWEST, width / count));
    this.svg.setAttribute("width", Math.max(width, pitch * count) - 0.5);
    this.columns.forEach((column, place) => {
      const [x, wide] = [place * pitch, pitch * (1 - GAP)];
      const top = HEIGHT - 1 - column.height;
      place_(column.outline, x + 0.5, top, wide - 1, column.height);
      place_(column.hit, x, 0, pitch, HEIGHT);
      for (const part of [column.body, column.zeros, column.edge]) {
        part.setAttribute("x", x);
        part.setAttribute("width", wide);
      }
      column.body.setAttribute("y", top);
      column.body.setAttribute("height", column.height);
      column.zeros.setAttribute("height", column.height);
      column.edge.setAttribute("height", 3);
    });
    if (this.planned) this.columns.forEach((column, place) => this.#fill(column, place));
  }

  #fill(column, place) {
    const layer = this.counts.layers[place];
    const { kept, sparsity, bits } = this.planned[place];
    const share = kept / layer.channels;
    const bottom = HEIGHT - 1;
    const height = column.height * share;
    column.body.setAttribute("y", bottom - height);
    column.body.setAttribute("height", height);
    column.body.dataset.bits = LEVELS.find((level) => bits <= level) ?? 32;
    const zeros = height * sparsity;
    column.zeros.setAttribute("y", bottom - zeros);
    column.zeros.setAttribute("height", zeros);
    column.edge.setAttribute("y", bottom - height - 1.5);
    column.root.classList.toggle("own", choiceOf(this.recipe, layer.name).ratio !== null);
    const gone = Math.round(100 * (1 - share));
    if (column.canShrink) column.root.setAttribute("aria-valuenow", gone);
    const text = this.#text(place);
    column.root.setAttribute(column.canShrink ? "aria-valuetext" : "aria-label", text);
  }

  #text(place) {
    const layer = this.counts.layers[place];
    const { kept, sparsity, bits } = this.planned[place];
    const parts = [layer.name, layer.op];
    parts.push(kept === layer.channels ? `${kept} channels` : `${kept} of ${layer.channels} channels`);
    parts.push(this.words.precisions[bits] ?? `${bits}-bit`);
    if (sparsity) parts.push(`${formatPercent(sparsity)} sparsity`);
    if (this.macs[place]) parts.push(`${formatCount(this.macs[place])} MACs`);
    if (layer.closed) parts.push(layer.closed);
    return parts.join(" · ");
  }

  #show(place) {
    this.shown = place;
    this.columns.forEach((column, at) => column.root.classList.toggle("shown", at === place));
    const hint = "Point at a layer for its numbers; drag its top edge to prune only this layer.";
    say(this.detail, place === null || !this.planned ? hint : this.#text(place));
  }

  #listen(column, place) {
    const { root } = column;
    root.addEventListener("pointerenter", () => this.dragging ?? this.#show(place));
    root.addEventListener("focus", () => this.#show(place));
    if (!column.canShrink) return;
    let from = null; // where the pointer began, and the ratio then
    const ratioAt = (event) => {
      const ratio = from.ratio + (event.clientY - from.y) / column.height;
      return rounded(Math.min(LARGEST_RATIO, Math.max(0, ratio)));
    };
    root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.recipe.pattern !== "channel") return;
      root.setPointerCapture(event.pointerId);
      this.dragging = place;
      const { kept } = this.planned[place];
      from = { y: event.clientY, ratio: 1 - kept / this.counts.layers[place].channels };
      event.preventDefault();
    });
    root.addEventListener("pointermove", (event) => {
      if (this.dragging !== place || (!from.moved && event.clientY === from.y)) return;
      from.moved = true;
      this.move(place, ratioAt(event));
    });
    const end = (event) => {
      if (this.dragging !== place) return;
      this.dragging = undefined;
      if (from.moved) this.choose(place, ratioAt(event));
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", end);
    root.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -STEP, ArrowDown: STEP, ArrowRight: STEP, ArrowLeft: -STEP }[event.key];
      if (step === undefined || this.recipe.pattern !== "channel") return;
      const own = choiceOf(this.recipe, this.counts.layers[place].name).ratio;
      const share = this.planned[place].kept / this.counts.layers[place].channels;
      const ratio = (own ?? 1 - share) + step;
      this.choose(place, rounded(Math.min(LARGEST_RATIO, Math.max(0, ratio))));
      event.preventDefault();
    });
  }
}

function rounded(ratio) {
  return Math.round(100 * ratio) / 100;
}

function place_(rect, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, value);
}

// How high a column is, as a share of that of the layer with the most channels: on a linear scale
// the narrow layers of a deep network would be too low to see and to drag.
export function heightOf(channels, most) {
  return Math.max(LEAST, Math.sqrt(channels / most));
}

// What the heights mean.
export function scaleText(most) {
  return `height: √channels (max ${most}); filled part: remaining channels`;
}

function legend(precisions, scale) {
  const items = LEVELS.map((bits) =>
    make("span", {}, make("i", { class: "swatch", "data-bits": bits }), precisions[bits]),
  );
  const zeros = make("span", {}, make("i", { class: "swatch hatched" }), "zeros");
  return make("p", { class: "legend", "aria-hidden": "true" }, ...items.reverse(), zeros, scale);
}
