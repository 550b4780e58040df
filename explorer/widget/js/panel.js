// The live panel, wherever it stands (`streamlit.js`, `jupyter.js`).
//
// `data` is what Python sends: `counts` of the open model (null while they are found out; see
// `plan.js` and `estimate.js`), what that is called (`opened`), the `recipe` that it works on, `seen` (the number of the last choice
// that it has taken in), the `numbers` as far as they are known, the runs `tried`, what was
// `surveyed` to predict with (see `forecast.js`), the `basis` of predictions of these numbers, and
// `words`, with the `coverage` of the estimator. A choice goes back to `send` as { number,
// opened, recipe } whenever a slider is released.

import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { Forecast, pointsOf } from "../../preview/js/forecast.js";
import { History } from "./history.js";
import { Layers } from "./layers.js";
import { ledgerOf } from "../../preview/js/ledger.js";
import { Numbers } from "./numbers.js";
import { Strip } from "./strip.js";
import { estimate } from "../../preview/js/estimate.js";
import { covers, fits } from "../../preview/js/coverage.js";
import { keyOf, withChoice } from "./recipe.js";
import { make } from "./elements.js";
import { groupOf, plan } from "../../preview/js/plan.js";
import { presets, startOf } from "./presets.js";

const UNCOVERED = "The layers of this setting can't be estimated in the browser.";

export class Panel {
  // A `history` goes on where another panel has left it.
  constructor(parent, data, send, history) {
    this.send = send;
    this.number = data.seen;
    const move = (recipe) => this.#move(recipe);
    const choose = (recipe) => this.#choose(recipe);
    this.controls = new Controls(data.words, move, choose, (key) => this.#preset(key));
    this.numbers = new Numbers();
    this.strip = new Strip(
      data.words,
      (place, ratio) => move(this.#pruned(place, ratio)),
      (place, ratio) => choose(this.#pruned(place, ratio)),
    );
    const some = (then) => (names, change) =>
      then(names ? withChoice(this.recipe, names, change) : { ...this.recipe, layers: [] });
    this.layers = new Layers(data.words, some(move), some(choose));
    const go = (way) => () => this.#choose(this.history[way](), false);
    this.chart = new Chart(data.words, choose, go("undo"), go("redo"));
    const uncovered = make("p", { class: "empty" }, UNCOVERED);
    this.root = make(
      "div",
      { class: "explorer-panel" },
      this.controls.root,
      this.numbers.root,
      make("div", { class: "views" }, uncovered, this.strip.root, this.chart.root),
      this.layers.root,
    );
    this.root.addEventListener("keydown", (event) => this.#shortcut(event));
    parent.append(this.root);
    this.history = history ?? new History(data.recipe);
    this.history.begin(data.recipe);
    this.recipe = data.recipe;
    this.update(data);
  }

  // Take in what Python says; a slider that is being moved goes first.
  update(data) {
    this.#foresee(data);
    const isOther = this.data?.opened && data.opened !== this.data.opened;
    if (isOther) this.moving = false; // what moved was for the model before
    this.data = data;
    const isNewest = isOther || (data.seen >= this.number && !this.moving);
    if (isNewest && keyOf(data.recipe) !== keyOf(this.recipe)) {
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
    this.#remember();
    this.number = Math.max(this.number, this.data.seen) + 1; // another panel may have chosen too
    this.send({ number: this.number, opened: this.data.opened, recipe });
  }

  #preset(key) {
    if (!this.#estimates(startOf(this.recipe))) return;
    const found = presets(this.data.counts, this.recipe)[key];
    this.#choose(found.recipe);
    this.controls.remark(found.missed, found.recipe);
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

  // Predictions are made anew when more has been surveyed.
  #foresee({ counts, surveyed, basis, recipe, numbers }) {
    if (!counts) return;
    const points = pointsOf(surveyed, basis);
    const known = points.length + points.filter(({ latency }) => latency !== null).length;
    const isOther = counts !== this.data?.counts || basis !== this.data.basis;
    if (isOther || known !== this.surveyed) {
      this.forecast = known ? new Forecast(counts, points) : null;
      this.surveyed = known;
    }
    this.ledger = ledgerOf(counts.model, basis);
    this.ledger.settle(keyOf(recipe), numbers);
  }

  // Whether a recipe can be estimated now: it is covered, and its counts are here.
  #estimates(recipe) {
    const { counts, words } = this.data;
    return covers(words.coverage, recipe) && Boolean(counts) && fits(counts, recipe);
  }

  #remember() {
    const { counts } = this.data;
    if (!this.forecast || !this.#estimates(this.recipe)) return;
    const planned = plan(counts, this.recipe);
    const profile = estimate(counts, this.recipe, planned);
    this.ledger.predict(keyOf(this.recipe), this.#predicted(planned, profile));
  }

  // The numbers that take a file to be known.
  #predicted(planned, profile) {
    const original = (key) => this.data.numbers.find((number) => number.key === key).original;
    const [latency, quality] = [original("latency"), original("quality")];
    const ratio = this.forecast?.latency(this.recipe, planned, profile) ?? null;
    return {
      latency: ratio === null || latency === null ? null : ratio * latency,
      quality: this.forecast?.quality(this.recipe, planned, profile, quality) ?? null,
    };
  }

  // However often a slider moves, the page is painted once a frame.
  #schedule() {
    this.frame ??= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const { counts, numbers, recipe } = this.data;
    this.controls.update(this.recipe);
    const ahead = keyOf(this.recipe) !== keyOf(recipe);
    const isCovered = covers(this.data.words.coverage, this.recipe);
    this.root.classList.toggle("uncovered", !isCovered);
    if (!this.#estimates(this.recipe)) {
      this.numbers.update(numbers, isCovered ? {} : null, ahead);
      this.chart.update(this.data.tried, this.recipe, null, this.history.can);
      this.root.classList.toggle("waiting", !counts);
      return;
    }
    this.root.classList.remove("waiting");
    const planned = plan(counts, this.recipe);
    const profile = estimate(counts, this.recipe, planned);
    const foreseen = { ...profile, ...this.#predicted(planned, profile) };
    const usual = { latency: this.ledger.usual("latency"), quality: this.ledger.usual("quality") };
    this.numbers.update(numbers, foreseen, ahead, usual, this.ledger.of(keyOf(this.recipe)));
    this.strip.update(counts, this.recipe, planned.layers, profile.layer_macs);
    this.layers.update(counts, this.recipe, planned.layers);
    this.chart.update(this.data.tried, this.recipe, profile, this.history.can);
  }
}
