// Settings to begin with, found by counting: the gentlest one that reaches a goal, or else the one
// that comes nearest to it.

import { LARGEST_RATIO } from "./recipe.js";
import { estimate } from "../../preview/js/estimate.js";
import { formatBytes, formatCount } from "./format.js";
import { plan } from "../../preview/js/plan.js";

const LIMIT = 100_000; // bytes
const WIDTHS = [32, 16, 8, 4]; // that are tried before channels are pruned
const NARROWEST = [4, 2]; // that are tried with pruned channels
const NOTHING = { pattern: "none", ratio: 0, weight_bits: 32, activation_bits: 32, layers: [] };

// { key: { recipe, missed } }, the keys those of `explorer.render.labels.PRESETS`; `missed` says what
// the nearest setting comes to where none reaches the goal, and is empty where one does.
export function presets(counts, recipe) {
  const start = startOf(recipe);
  const half = profileOf(counts, start).macs / 2;
  return {
    original: kept(start),
    half_macs: promised(pruned(start), (each) => profileOf(counts, each).macs, half, (macs) =>
      `No pruning ratio halves the MACs of this network; the nearest leaves ${formatCount(macs)}.`,
    ),
    int8: kept({ ...start, weight_bits: 8, activation_bits: 8 }),
    int4: kept({ ...start, weight_bits: 4 }),
    fits: promised(smaller(start), (each) => profileOf(counts, each).file_bytes, LIMIT, (size) =>
      `No setting of this network fits ${formatBytes(LIMIT)}; the smallest has ${formatBytes(size)}.`,
    ),
  };
}

// The recipe that they begin with: nothing is on the sliders.
export function startOf(recipe) {
  return { ...recipe, ...NOTHING };
}

function kept(recipe) {
  return { recipe, missed: "" };
}

// The first recipe that costs at most `limit`, or else the first of those that cost least.
function promised(recipes, costOf, limit, missed) {
  let nearest = null;
  let least = Infinity;
  for (const recipe of recipes) {
    const cost = costOf(recipe);
    if (cost <= limit) return kept(recipe);
    if (cost < least) [nearest, least] = [recipe, cost];
  }
  return { recipe: nearest, missed: missed(least) };
}

// Narrower weights first, then fewer channels too.
function* smaller(start) {
  for (const bits of WIDTHS) yield { ...start, weight_bits: bits };
  for (const bits of NARROWEST) yield* pruned({ ...start, weight_bits: bits });
}

// Every ratio of channels, the smallest first.
function* pruned(start) {
  for (let percent = 1; percent <= 100 * LARGEST_RATIO; percent++) {
    yield { ...start, pattern: "channel", ratio: percent / 100 };
  }
}

function profileOf(counts, recipe) {
  return estimate(counts, recipe, plan(counts, recipe));
}
