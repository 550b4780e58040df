// One ratio and one bits control for each group of layers, opened on demand.

import { formatPercent } from "./format.js";
import { LARGEST_RATIO, choiceOf } from "./recipe.js";
import { make, newId, say } from "./elements.js";
import { groupOf } from "../../preview/js/plan.js";
import { paintTrack, weightBits } from "./controls.js";

export class Layers {
  // `move` and `choose` take (names of layers, change).
  constructor(words, move, choose) {
    this.words = words;
    this.move = move;
    this.choose = choose;
    this.list = make("div", { class: "rows" });
    this.reset = make("button", { type: "button", class: "quiet" }, "Clear overrides");
    this.reset.addEventListener("click", () => choose(null));
    this.root = make("details", {}, make("summary", {}, words.labels.layers), this.list, this.reset);
    this.root.addEventListener("toggle", () => this.#refresh());
  }

  update(counts, recipe, planned) {
    Object.assign(this, { counts, recipe, planned });
    this.#refresh();
  }

  #refresh() {
    if (!this.root.open || !this.counts) return;
    if (this.built !== this.counts) this.#build();
    for (const row of this.rows) this.#fill(row);
    this.reset.hidden = !this.recipe.layers.length;
  }

  #build() {
    this.built = this.counts;
    this.rows = rowsOf(this.counts).map((members) => {
      const names = members.map((place) => this.counts.layers[place].name);
      const id = newId("row");
      const title = make("span", { class: "name", id, title: names.join(", ") }, names.join(" + "));
      const about = (what) => ({ "aria-labelledby": id, "aria-description": what });
      const ratio = make("input", {
        type: "range",
        min: 0,
        max: 100 * LARGEST_RATIO,
        ...about("ratio"),
      });
      const bits = make("select", about("weight bits"), make("option", { value: "" }, "no override"));
      for (const width of weightBits(this.words)) {
        bits.append(make("option", { value: width }, this.words.precisions[width] ?? `${width}`));
      }
      const text = make("span", { class: "setting" });
      ratio.addEventListener("input", () => this.move(names, { ratio: ratio.value / 100 }));
      ratio.addEventListener("change", () => this.choose(names, { ratio: ratio.value / 100 }));
      bits.addEventListener("change", () => {
        this.choose(names, { weight_bits: bits.value ? Number(bits.value) : null });
      });
      const root = make("div", { class: "row" }, title, ratio, text, bits);
      return { members, names, ratio, bits, text, root };
    });
    this.list.replaceChildren(...this.rows.map((row) => row.root));
  }

  #fill({ members, names, ratio, bits, text }) {
    const choice = choiceOf(this.recipe, names[0]);
    const { kept, sparsity } = this.planned[members[0]];
    const channels = this.counts.layers[members[0]].channels;
    const share = this.recipe.pattern === "channel" ? 1 - kept / channels : sparsity;
    ratio.value = Math.round(100 * (choice.ratio ?? share));
    ratio.disabled = !this.words.ratio_patterns.includes(this.recipe.pattern);
    ratio.classList.toggle("own", choice.ratio !== null);
    paintTrack(ratio);
    say(text, formatPercent(-share));
    bits.value = choice.weight_bits ?? "";
  }
}

// Coupled layers share a row, every other layer has one.
function rowsOf(counts) {
  const rows = [];
  const seen = new Set();
  counts.layers.forEach((layer, place) => {
    if (layer.closed || seen.has(place)) return;
    const members = (groupOf(counts, place)?.members ?? [place]).filter((each) => !seen.has(each));
    for (const each of members) seen.add(each);
    rows.push(members);
  });
  return rows;
}
