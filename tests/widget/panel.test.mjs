// What the panel does without a page: its numbers as text, its choices, its history, its front.

import assert from "node:assert/strict";
import { test } from "node:test";

import { argmin, argsort, round, varintBytes } from "../../explorer/preview/js/arithmetic.js";
import { ticks } from "../../explorer/widget/js/chart.js";
import { fits } from "../../explorer/preview/js/coverage.js";
import { pointsOf } from "../../explorer/preview/js/forecast.js";
import { History } from "../../explorer/widget/js/history.js";
import { Ledger, ledgerOf } from "../../explorer/preview/js/ledger.js";
import { heightOf, scaleText } from "../../explorer/widget/js/strip.js";
import { choiceOf, keyOf, withChoice } from "../../explorer/widget/js/recipe.js";

const RECIPE = { pattern: "channel", ratio: 0.3, weight_bits: 32, bits_scope: "layer", layers: [] };

test("halves go to the even number, as in Python", () => {
  assert.deepEqual([0.5, 1.5, 2.5, 2.4999, 7].map(round), [0, 2, 2, 2, 7]);
});

test("the first smallest value is found, and equal values keep their order", () => {
  assert.equal(argmin([3, 1, 2, 1]), 1);
  assert.deepEqual(argsort([2, 1, 2, 1]), [1, 3, 0, 2]);
});

test("varints take seven bits a byte, also beyond 32 bits", () => {
  assert.deepEqual([0, 127, 128, 2 ** 14, 2 ** 35, 2 ** 52].map(varintBytes), [1, 1, 2, 3, 6, 8]);
});

test("ticks are round numbers within the axis", () => {
  assert.deepEqual(ticks(0, 380, 4), [0, 100, 200, 300]);
  assert.ok(ticks(0.853, 0.944, 4).every((tick) => tick >= 0.853 && tick <= 0.944));
});

test("equal recipes have equal keys, whatever the order of their fields", () => {
  const { pattern, ...rest } = RECIPE;
  assert.equal(keyOf({ ...rest, pattern }), keyOf(RECIPE));
  assert.notEqual(keyOf(withChoice(RECIPE, ["a"], { ratio: 0.5 })), keyOf(RECIPE));
});

test("a choice for a layer keeps its other half, and an empty one goes", () => {
  const pruned = withChoice(RECIPE, ["a", "b"], { ratio: 0.5 });
  const both = withChoice(pruned, ["a"], { weight_bits: 4 });
  assert.deepEqual(choiceOf(both, "a"), { name: "a", ratio: 0.5, weight_bits: 4 });
  assert.deepEqual(choiceOf(both, "b"), { name: "b", ratio: 0.5, weight_bits: null });
  const none = withChoice(both, ["a", "b"], { ratio: null, weight_bits: null });
  assert.deepEqual(none.layers, []);
  assert.deepEqual(RECIPE.layers, []);
});

test("counts fit what they were made for, and only with the parts that are needed", () => {
  const counts = { fixed: { round_to: 8 }, masks: { block: {} }, bits: {} };
  const recipe = { ...RECIPE, round_to: 8 };
  assert.ok(fits(counts, recipe));
  assert.ok(!fits(counts, { ...recipe, round_to: 4 }));
  assert.ok(fits(counts, { ...recipe, pattern: "block" }));
  assert.ok(!fits(counts, { ...recipe, pattern: "unstructured" }));
  assert.ok(!fits(counts, { ...recipe, bits_scope: "global", weight_bits: 4 }));
  assert.ok(fits(counts, { ...recipe, bits_scope: "global", weight_bits: 16 }));
});

test("what was taken back comes again, until something else is chosen", () => {
  const history = new History("a");
  assert.deepEqual(history.can, { undo: false, redo: false });
  history.add("b");
  history.add("c");
  assert.equal(history.undo(), "b");
  assert.equal(history.undo(), "a");
  assert.equal(history.undo(), "a");
  assert.equal(history.redo(), "b");
  history.add("d");
  assert.deepEqual(history.can, { undo: true, redo: false });
  assert.equal(history.undo(), "b");
});

test("predictions are settled by what was measured, and only then told", () => {
  const ledger = new Ledger();
  const numbers = (latency, quality, kind = "measured") => [
    { key: "latency", kind: "noisy", value: latency },
    { key: "quality", kind, value: quality },
    { key: "params", kind, value: 7 },
  ];
  ledger.predict("a", { latency: 2, quality: 0.9 });
  ledger.settle("a", numbers(1, 0.8, "first"));
  assert.deepEqual(ledger.of("a"), { latency: { predicted: 2, error: 1 } });
  ledger.settle("a", numbers(1, 0.875));
  assert.equal(ledger.of("a").quality.error, 0.9 - 0.875);
  ledger.predict("a", { latency: 5, quality: 0.1 }); // it is measured already
  ledger.settle("a", numbers(1, 0.875));
  assert.equal(ledger.of("a").latency.predicted, 2);
  assert.deepEqual(ledger.of("b"), {});
  assert.equal(ledger.usual("quality"), null);
  for (const [recipe, quality] of [["b", 0.5], ["c", 0.7]]) {
    ledger.predict(recipe, { latency: null, quality });
    ledger.settle(recipe, numbers(1, 0.75));
  }
  assert.equal(ledger.usual("quality"), 0.75 - 0.7);
  assert.equal(ledger.usual("latency"), null);
});

test("what was predicted from other data is neither used nor held against the numbers", () => {
  const points = [{ quality: 0.9 }];
  assert.deepEqual(pointsOf({ basis: "mine", points }, "mine"), points);
  assert.deepEqual(pointsOf({ basis: "random inputs", points }, "mine"), []);
  assert.deepEqual(pointsOf(null, "mine"), []);
  ledgerOf("m", "random inputs").predict("a", { latency: null, quality: 0.99 });
  ledgerOf("m", "mine").settle("a", [{ key: "quality", kind: "measured", value: 0.09 }]);
  assert.deepEqual(ledgerOf("m", "mine").of("a"), {});
  assert.equal(ledgerOf("m", "mine").usual("quality"), null);
  ledgerOf("m", "random inputs").settle("a", [{ key: "quality", kind: "measured", value: 0.98 }]);
  assert.equal(ledgerOf("m", "random inputs").of("a").quality.predicted, 0.99);
});

test("columns are as high as the scale below them says", () => {
  assert.deepEqual([64, 16, 4].map((channels) => heightOf(channels, 64)), [1, 0.5, 0.25]);
  assert.ok(heightOf(1, 2048) > 0.1); // low enough columns can still be dragged
  assert.match(scaleText(64), /√channels \(max 64\)/);
});
