// The headline numbers: original -> now, with a bar, and where each comes from.
//
// `told` is what Python says of a number: { key, title, definition, original, original_text, value,
// text, kind, kind_text, kind_note, difference, tone, interval, note, note_help, full } (`full` is what the bar
// is part of, where it isn't the original). `moving` has the panel's own numbers, by key.

import { formatBytes, formatChange, formatCount } from "./format.js";
import { make, newId, say } from "./elements.js";

const TEXTS = {
  file_bytes: formatBytes,
  params: formatCount,
  macs: formatCount,
  peak_activation_bytes: formatBytes,
};

export class Numbers {
  constructor() {
    this.root = make("div", { class: "numbers" });
    this.tiles = new Map();
  }

  // Show what Python says, or while the hand moves what the panel counts.
  update(told, moving) {
    const keys = told.map((number) => number.key).join();
    if (keys !== this.keys) this.#build(told);
    this.keys = keys;
    for (const number of told) this.#fill(this.tiles.get(number.key), number, moving);
  }

  #build(told) {
    this.tiles = new Map();
    this.root.replaceChildren(
      ...told.map((number) => {
        const tip = newId("tip");
        const tile = {
          title: make("h3"),
          value: make("p", { class: "value" }),
          original: make("span", { class: "original" }),
          bar: make("i"),
          kind: make("span", { class: "kind" }),
          difference: make("span", { class: "difference" }),
          interval: make("span", { class: "interval" }),
          note: make("p", { class: "note" }),
          tip: make("span", { class: "tip-text", id: tip, role: "tooltip" }),
        };
        const help = make(
          "button",
          { type: "button", class: "tip", "aria-label": number.title, "aria-describedby": tip },
          "?",
        );
        tile.root = make(
          "section",
          { class: "number", "data-key": number.key, "aria-label": number.title },
          make("header", {}, tile.title, help, tile.tip),
          tile.value,
          make("div", { class: "bar", "aria-hidden": "true" }, tile.bar),
          make("p", { class: "line" }, tile.original, tile.difference),
          make("p", { class: "line faint" }, tile.kind, tile.interval),
          tile.note,
        );
        this.tiles.set(number.key, tile);
        return tile.root;
      }),
    );
  }

  #fill(tile, number, moving) {
    say(tile.title, number.title);
    say(tile.tip, number.definition);
    say(tile.original, `from ${number.original_text}`);
    const shown = moving ? this.#moved(number, moving) : number;
    tile.root.dataset.kind = shown.kind;
    say(tile.value, shown.text);
    say(tile.difference, shown.difference);
    tile.difference.dataset.tone = shown.tone;
    say(tile.kind, shown.kind_text);
    tile.kind.title = shown.kind_note;
    say(tile.interval, shown.interval);
    say(tile.note, shown.note);
    tile.note.title = shown.note_help;
    const full = number.full ?? number.original;
    const share = full && shown.value !== null ? Math.min(1, shown.value / full) : 0;
    tile.bar.style.transform = `scaleX(${share})`;
  }

  // A number while the hand moves: counted here, or of the setting before.
  #moved(number, moving) {
    const value = moving[number.key];
    if (value === undefined) {
      if (number.value === null) return number;
      const before = { kind: "previous", kind_text: "setting before" };
      return { ...number, ...before, kind_note: "Let go to measure it." };
    }
    const better = value < number.original;
    return {
      ...number,
      value,
      text: TEXTS[number.key](value),
      difference: number.original === null ? "" : formatChange(number.original, value),
      tone: value === number.original ? "even" : better ? "good" : "bad",
      kind: "estimated",
      kind_text: "estimated",
      kind_note: "Computed from the plan, in your browser; let go to have the file written.",
      interval: number.key === "file_bytes" ? "± 1 %" : "exact",
      note: "",
      note_help: "",
    };
  }
}
