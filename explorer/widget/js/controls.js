// The global sliders. `input` paints, `change` asks for the file.

import { LARGEST_RATIO, keyOf } from "./recipe.js";
import { make, newId, say } from "./elements.js";

export class Controls {
  // `words` has all labels; `move(recipe)` and `choose(recipe)` take a changed recipe, `preset` finds
  // one by its key.
  constructor(words, move, choose, preset) {
    this.words = words;
    const ask = (change, then) => then({ ...this.recipe, ...change });
    this.pattern = make("select", { name: "pattern" });
    for (const [value, name] of Object.entries(words.patterns)) {
      this.pattern.append(make("option", { value }, name));
    }
    this.pattern.addEventListener("change", () => ask({ pattern: this.pattern.value }, choose));
    this.ratio = range("ratio", 0, 100 * LARGEST_RATIO);
    listen(this.ratio, (then) => ask({ ratio: Number(this.ratio.value) / 100 }, then), move, choose);
    this.widths = weightBits(words);
    this.bits = range("weight_bits", 0, this.widths.length - 1);
    const bits = (then) => ask({ weight_bits: this.widths[Number(this.bits.value)] }, then);
    listen(this.bits, bits, move, choose);
    this.ratioText = make("span", { class: "setting" });
    this.bitsText = make("span", { class: "setting" });
    this.activations = [32, 8].map((bits) => {
      const input = make("input", { type: "radio", name: newId("activation"), value: bits });
      input.addEventListener("change", () => ask({ activation_bits: bits }, choose));
      return input;
    });
    this.activations[1].name = this.activations[0].name;
    const radios = this.activations.map((input) =>
      make("label", {}, input, make("span", {}, words.precisions[input.value])),
    );
    this.presets = make("select", { name: "preset" }, make("option", { value: "" }, "Presets"));
    this.presets.setAttribute("aria-label", "Presets");
    for (const [value, name] of Object.entries(words.presets)) {
      this.presets.append(make("option", { value }, name));
    }
    this.presets.addEventListener("change", () => {
      preset(this.presets.value);
      this.presets.value = "";
    });
    this.remarkText = make("p", { class: "remark", role: "status" });
    this.root = make(
      "div",
      { class: "controls" },
      field(words.labels.pattern, this.pattern, words.help.pattern, this.presets),
      field(words.labels.ratio, this.ratio, words.help.ratio, this.ratioText),
      field(words.labels.weight_bits, this.bits, words.help.weight_bits, this.bitsText),
      make(
        "fieldset",
        { class: "field", title: words.help.activation_bits },
        make("legend", {}, words.labels.activation_bits),
        make("div", { class: "segments" }, ...radios),
      ),
      this.remarkText,
    );
  }

  // Say something of a recipe, for as long as it is the one that is chosen.
  remark(text, recipe) {
    say(this.remarkText, text);
    this.remarked = keyOf(recipe);
  }

  update(recipe) {
    this.recipe = recipe;
    if (this.remarked !== keyOf(recipe)) say(this.remarkText, "");
    this.pattern.value = recipe.pattern;
    const free = this.words.ratio_patterns.includes(recipe.pattern);
    const percent = Math.round(100 * recipe.ratio);
    this.ratio.disabled = !free;
    this.ratio.value = percent;
    const fixed = recipe.pattern === "none" ? "–" : "50 %, fixed";
    const ratio = free ? `${percent} %` : fixed;
    say(this.ratioText, ratio);
    this.ratio.setAttribute("aria-valuetext", ratio);
    this.bits.value = this.widths.indexOf(recipe.weight_bits);
    const bits = this.words.precisions[recipe.weight_bits] ?? String(recipe.weight_bits);
    say(this.bitsText, bits);
    this.bits.setAttribute("aria-valuetext", bits);
    for (const input of this.activations) {
      input.checked = Number(input.value) === recipe.activation_bits;
    }
    for (const slider of [this.ratio, this.bits]) paintTrack(slider);
  }
}

// The bits that weights can have, the widest first.
export function weightBits(words) {
  return Object.keys(words.precisions).map(Number).sort((a, b) => b - a);
}

function range(name, min, max) {
  return make("input", { type: "range", name, min, max, step: 1 });
}

function listen(input, ask, move, choose) {
  input.addEventListener("input", () => ask(move));
  input.addEventListener("change", () => ask(choose));
}

// The part of the track behind the thumb.
export function paintTrack(slider) {
  const share = (slider.value - slider.min) / (slider.max - slider.min || 1);
  slider.style.setProperty("--share", share);
}

function field(name, input, help, ...more) {
  const id = newId("field");
  input.id = id;
  const head = make("div", { class: "head" }, make("label", { for: id }, name), ...more);
  return make("div", { class: "field", title: help }, head, input);
}
