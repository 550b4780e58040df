// Recipes as plain values, with the names and rules of `explorer.recipe`.

export const RATIO_PATTERNS = ["channel", "unstructured", "block"];
export const MOST_SPREAD_BITS = 8;
export const LARGEST_RATIO = 0.95;

// Equal recipes give equal text.
export function keyOf(recipe) {
  if (!recipe) return "";
  return JSON.stringify(recipe, Object.keys({ ...recipe, ...CHOICE }).sort());
}

const CHOICE = { name: null, ratio: null, weight_bits: null };

// A recipe with another choice for some layers; a choice of nothing is none.
export function withChoice(recipe, names, change) {
  const layers = recipe.layers.filter((choice) => !names.includes(choice.name));
  for (const name of names) {
    const choice = { ...CHOICE, ...choiceOf(recipe, name), ...change, name };
    if (choice.ratio !== null || choice.weight_bits !== null) layers.push(choice);
  }
  return { ...recipe, layers };
}

export function choiceOf(recipe, name) {
  return recipe.layers.find((choice) => choice.name === name) ?? { ...CHOICE, name };
}

// True where the panel's counts hold for a recipe.
export function fits(counts, recipe) {
  const { pattern, bits_scope: scope, weight_bits: bits } = recipe;
  const masked = !["unstructured", "block"].includes(pattern) || pattern in counts.masks;
  const spread = scope !== "global" || bits > MOST_SPREAD_BITS || counts.bits.errors;
  const same = Object.entries(counts.fixed).every(([key, value]) => recipe[key] === value);
  return Boolean(same && masked && spread);
}
