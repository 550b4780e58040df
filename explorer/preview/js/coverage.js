// Which recipes the estimator may be asked about.

import { MOST_SPREAD_BITS } from "./plan.js";

// True where counts hold for a recipe.
export function fits(counts, recipe) {
  const { pattern, bits_scope: scope, weight_bits: bits } = recipe;
  const masked = !["unstructured", "block"].includes(pattern) || pattern in counts.masks;
  const spread = scope !== "global" || bits > MOST_SPREAD_BITS || counts.bits.errors;
  const same = Object.entries(counts.fixed).every(([key, value]) => recipe[key] === value);
  return Boolean(same && masked && spread);
}
