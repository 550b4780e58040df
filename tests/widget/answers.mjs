// Plans and counts recipes from standard input, as the panel does: [{ counts, recipes }] ->
// [{ layers, params, ... }], one for each recipe.

import { readFileSync } from "node:fs";

import { estimate } from "../../explorer/preview/js/estimate.js";
import { plan } from "../../explorer/preview/js/plan.js";

const asked = JSON.parse(readFileSync(0));
const answers = asked.flatMap(({ counts, recipes }) =>
  recipes.map((recipe) => {
    const planned = plan(counts, recipe);
    const layers = planned.layers.map((layer) => [layer.kept, layer.sparsity, layer.bits]);
    return { ...estimate(counts, recipe, planned), layers };
  }),
);
console.log(JSON.stringify(answers));
