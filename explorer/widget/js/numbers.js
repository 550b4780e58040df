// The headline numbers: original -> now, with a bar, and where each comes from.
//
// `told` is what Python says of a number: { key, title, definition, original, original_text, value,
// text, kind, kind_text, kind_note, difference, tone, interval, note, note_help, full } (`full` is what the bar
// is part of, where it isn't the original; `unit` that of quality; `falls`: less is better).
// `foreseen` has the panel's own numbers, by key (null where the estimator doesn't cover the setting),
// `usual` the usual errors of those that it predicts, and `outcomes` what came of the prediction for
// this setting.

import { formatBytes, formatChange, formatCount, formatSpeedup } from "./format.js";
import { formatDistance, formatPercent, formatPoints, formatQuality, formatSeconds } from "./format.js";
import { make, newId, say } from "./elements.js";

const TEXTS = {
  file_bytes: formatBytes,
  params: formatCount,
  macs: formatCount,
  peak_activation_bytes: formatBytes,
  latency: formatSeconds,
};
const WAITING = ["queued", "coming"];
const WITHIN = { file_bytes: "± 1\u00a0%", params: "", macs: "", peak_activation_bytes: "" }; // of estimates
const OPEN = { value: null, difference: "", interval: "", tone: "even" };
const COUNTED = "Computed from the plan, in your browser. Release the slider to write the file.";
const PREDICTED =
  "Predicted from settings that were measured before. Release the slider to measure it. The number " +
  "after ± is the typical error of such predictions, once there have been a few.";

export class Numbers {
  constructor() {
    this.root = make("div", { class: "numbers" });
    this.tiles = new Map();
  }

  // Show what Python says; while a slider is `ahead`, and for what is still to come, what is foreseen.
  update(told, foreseen, ahead, usual = {}, outcomes = {}) {
    const keys = told.map((number) => number.key).join();
    if (keys !== this.keys) this.#build(told);
    this.keys = keys;
    for (const number of told) {
      const isOpen = ahead || (WAITING.includes(number.kind) && foreseen?.[number.key] != null);
      const shown = isOpen ? moved(number, foreseen, usual) : number;
      this.#fill(this.tiles.get(number.key), number, shown, outcomes[number.key]);
    }
  }

  #build(told) {
    this.tiles = new Map();
    this.root.replaceChildren(
      ...told.map((number) => {
        const tip = newId("tip");
        const tile = {
          title: make("h2"),
          value: make("p", { class: "value" }),
          original: make("span", { class: "original" }),
          bar: make("i"),
          kind: make("span", { class: "kind" }),
          difference: make("span", { class: "difference" }),
          interval: make("span", { class: "interval" }),
          outcome: make("p", { class: "note", title: PREDICTED }),
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
          tile.outcome,
          tile.note,
        );
        this.tiles.set(number.key, tile);
        return tile.root;
      }),
    );
  }

  #fill(tile, number, shown, outcome) {
    say(tile.title, number.title);
    say(tile.tip, number.definition);
    say(tile.original, `from ${number.original_text}`);
    tile.root.dataset.kind = shown.kind;
    say(tile.value, shown.text);
    say(tile.difference, shown.difference);
    tile.difference.dataset.tone = shown.tone;
    say(tile.kind, shown.kind_text);
    tile.kind.title = shown.kind_note;
    say(tile.interval, shown.interval);
    // What is said of the previous setting goes on taking its place, so that nothing moves.
    tile.root.classList.toggle("ahead", shown !== number);
    if (shown === number) {
      say(tile.outcome, outcome ? came(number, outcome) : "");
      say(tile.note, shown.note);
      tile.note.title = shown.note_help;
    }
    const full = number.full ?? number.original;
    const share = full && shown.value !== null ? Math.max(0, Math.min(1, shown.value / full)) : 0;
    tile.bar.style.transform = `scaleX(${share})`;
  }
}

// A number while a slider moves or the work waits: computed or predicted here, or none.
function moved(number, foreseen, usual) {
  const { key, original } = number;
  const value = foreseen?.[key] ?? null;
  if (value === null) {
    if (number.value === null) return number;
    return { ...number, ...OPEN, ...(foreseen ? unmeasured() : uncovered(key)) };
  }
  const better = number.falls ? value < original : value > original;
  return {
    ...number,
    value,
    text: textOf(number, value),
    difference: original === null ? "" : changeOf(number, value),
    tone: value === original ? "even" : better ? "good" : "bad",
    kind: "estimated",
    kind_text: [key in WITHIN ? "estimated" : "predicted", ...queued(number)].join(", "),
    kind_note: key in WITHIN ? COUNTED : PREDICTED,
    interval: WITHIN[key] ?? within(number, usual[key] ?? null),
  };
}

// What a number says that can't be predicted yet.
function unmeasured() {
  const kind_note = "Release the slider to measure it.";
  return { kind: "coming", text: "–", kind_text: "not measured", kind_note };
}

// What a number says of a setting that the estimator doesn't cover.
function uncovered(key) {
  const done = key in WITHIN ? "computed" : "measured";
  const kind_note = "This setting can't be estimated in the browser.";
  return { kind: "uncovered", text: `${done} when you release the slider`, kind_text: `not ${done}`, kind_note };
}

// Where in the queue the number stands that an estimate takes the place of.
function queued(number) {
  return number.kind === "queued" ? [number.text] : [];
}

// What was predicted for the setting whose number has been measured.
function came(number, { predicted, error }) {
  return `predicted ${textOf(number, predicted)}, off by ${offBy(number, error)}`;
}

function textOf(number, value) {
  return number.key === "quality" ? formatQuality(value, number.unit) : TEXTS[number.key](value);
}

function changeOf(number, value) {
  if (number.key === "latency") return formatSpeedup(value / number.original);
  if (number.key !== "quality") return formatChange(number.original, value);
  return formatPoints(value - number.original, number.unit);
}

function within(number, error) {
  return error === null ? "" : `± ${offBy(number, error)}`;
}

function offBy(number, error) {
  if (number.key === "latency") return formatPercent(error);
  return formatDistance(error, number.unit);
}
