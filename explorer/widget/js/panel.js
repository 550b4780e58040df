// The live panel, wherever it stands (`streamlit.js`, `jupyter.js`).
//
// `data` is what Python sends: `counts` of the open model (null while they are found out; see
// `plan.js` and `estimate.js`), the `recipe` that it works on, `seen` (the number of the last choice
// that it has taken in), the `numbers` as far as they are known, the settings `tried`, and `words`. A
// choice goes back to `send` as { number, recipe } whenever the hand lets go.

import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { History } from "./history.js";
import { Layers } from "./layers.js";
import { Numbers } from "./numbers.js";
import { Strip } from "./strip.js";
import { estimate } from "./estimate.js";
import { fits, keyOf, withChoice } from "./recipe.js";
import { make } from "./elements.js";
import { groupOf, plan } from "./plan.js";
import { presets } from "./presets.js";

export class Panel {
  constructor(parent, data, send) {
    this.send = send;
    this.number = data.seen;
    const move = (recipe) => this.#move(recipe);
    const choose = (recipe) => this.#choose(recipe);
    this.controls = new Controls(data.words, move, choose, (name) => this.#preset(name));
    this.numbers = new Numbers();
    this.strip = new Strip(
      (place, ratio) => move(this.#pruned(place, ratio)),
      (place, ratio) => choose(this.#pruned(place, ratio)),
    );
    const some = (then) => (names, change) =>
      then(names ? withChoice(this.recipe, names, change) : { ...this.recipe, layers: [] });
    this.layers = new Layers(data.words, some(move), some(choose));
    const go = (way) => () => this.#choose(this.history[way](), false);
    this.chart = new Chart(choose, go("undo"), go("redo"));
    this.root = make(
      "div",
      { class: "explorer-panel" },
      this.controls.root,
      this.numbers.root,
      make("div", { class: "views" }, this.strip.root, this.chart.root),
      this.layers.root,
    );
    this.root.addEventListener("keydown", (event) => this.#shortcut(event));
    parent.append(this.root);
    this.history = new History(data.recipe);
    this.recipe = data.recipe;
    this.update(data);
  }

  // Take in what Python says; what the hand is doing goes first.
  update(data) {
    this.data = data;
    if (data.seen >= this.number && !this.moving && keyOf(data.recipe) !== keyOf(this.recipe)) {
      this.recipe = data.recipe; // a choice elsewhere on the page
      this.history.add(data.recipe);
    }
    this.#paint();
  }

  destroy() {
    this.strip.destroy();
    this.chart.destroy();
    this.root.remove();
  }

  #move(recipe) {
    this.moving = true;
    this.recipe = recipe;
    this.#schedule();
  }

  #choose(recipe, isNew = true) {
    this.moving = false;
    if (isNew && keyOf(recipe) !== keyOf(this.history.chosen[this.history.at])) {
      this.history.add(recipe);
    }
    this.recipe = recipe;
    this.#schedule();
    if (keyOf(recipe) === keyOf(this.data.recipe) && this.data.seen >= this.number) return;
    this.number = Math.max(this.number, this.data.seen) + 1; // another panel may have chosen too
    this.send({ number: this.number, recipe });
  }

  #preset(name) {
    if (!this.data.counts || !fits(this.data.counts, this.recipe)) return;
    const found = presets(this.data.counts, this.recipe)[name];
    if (found) this.#choose(found);
  }

  #shortcut(event) {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    this.#choose(event.shiftKey ? this.history.redo() : this.history.undo(), false);
  }

  #pruned(place, ratio) {
    const { counts } = this.data;
    const names = groupOf(counts, place).members.map((member) => counts.layers[member].name);
    return withChoice(this.recipe, names, { ratio });
  }

  // However often the hand moves, the page is painted once a frame.
  #schedule() {
    this.frame ??= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const { counts, numbers, recipe } = this.data;
    this.controls.update(this.recipe);
    const ahead = keyOf(this.recipe) !== keyOf(recipe);
    if (!counts || !fits(counts, this.recipe)) {
      this.numbers.update(numbers, ahead ? {} : null);
      this.chart.update(this.data.tried, this.recipe, null, this.history.can);
      this.root.classList.toggle("waiting", !counts);
      return;
    }
    this.root.classList.remove("waiting");
    const planned = plan(counts, this.recipe);
    const profile = estimate(counts, this.recipe, planned);
    this.numbers.update(numbers, ahead ? profile : null);
    this.strip.update(counts, this.recipe, planned.layers, profile.layer_macs);
    this.layers.update(counts, this.recipe, planned.layers);
    this.chart.update(this.data.tried, this.recipe, profile, this.history.can);
  }
}
