// Recipes as plain values, with the names and rules of `explorer.recipe`.

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
