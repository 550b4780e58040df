// Settings to begin with, found by counting: the gentlest one that keeps a promise.

import { LARGEST_RATIO } from "./recipe.js";
import { estimate } from "./estimate.js";
import { plan } from "./plan.js";

const LIMIT = 100_000; // bytes
const WIDTHS = [32, 16, 8, 4]; // that are tried before channels go
const NOTHING = { pattern: "none", ratio: 0, weight_bits: 32, activation_bits: 32, layers: [] };

// { name: recipe or null where no setting keeps the promise }, in the order in which they are shown.
export function presets(counts, recipe) {
  const start = { ...recipe, ...NOTHING };
  const original = profileOf(counts, start);
  return {
    "The original": start,
    "Half the MACs": pruned(counts, start, (profile) => profile.macs <= original.macs / 2),
    "8-bit integers": { ...start, weight_bits: 8, activation_bits: 8 },
    "4-bit weights": { ...start, weight_bits: 4 },
    "Fits 100 kB": fitting(counts, start),
  };
}

function fitting(counts, start) {
  const fits = (profile) => profile.file_bytes <= LIMIT;
  for (const bits of WIDTHS) {
    const recipe = { ...start, weight_bits: bits };
    if (fits(profileOf(counts, recipe))) return recipe;
  }
  return pruned(counts, { ...start, weight_bits: WIDTHS.at(-1) }, fits);
}

// The recipe with the smallest ratio of channels that does.
function pruned(counts, start, does) {
  for (let percent = 1; percent <= 100 * LARGEST_RATIO; percent++) {
    const recipe = { ...start, pattern: "channel", ratio: percent / 100 };
    if (does(profileOf(counts, recipe))) return recipe;
  }
  return null;
}

function profileOf(counts, recipe) {
  return estimate(counts, recipe, plan(counts, recipe));
}
