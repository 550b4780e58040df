// Which recipes the estimator may be asked about.

import { MOST_SPREAD_BITS } from "./plan.js";

const EVERY = "every"; // in the place of values

// True where the estimator covers all fields and values of a recipe: `coverage` is what
// `explorer.preview.coverage` declares.
export function covers(coverage, recipe) {
  return Object.entries(recipe).every(
    ([name, value]) => Object.hasOwn(coverage, name) && holds(coverage[name], value),
  );
}

function holds(covered, value) {
  if (covered === EVERY) return true;
  if (Array.isArray(covered)) return covered.includes(value);
  return value.every((each) => covers(covered, each));
}

// True where counts hold for a recipe that is covered.
export function fits(counts, recipe) {
  const { pattern, bits_scope: scope, weight_bits: bits } = recipe;
  const masked = !["unstructured", "block"].includes(pattern) || pattern in counts.masks;
  const spread = scope !== "global" || bits > MOST_SPREAD_BITS || counts.bits.errors;
  const same = Object.entries(counts.fixed).every(([key, value]) => recipe[key] === value);
  return Boolean(same && masked && spread);
}
