// Whether the estimator covers recipes: { coverage, recipes } -> [true or false].

import { readFileSync } from "node:fs";

import { covers } from "../../explorer/preview/js/coverage.js";

const { coverage, recipes } = JSON.parse(readFileSync(0));
console.log(JSON.stringify(recipes.map((recipe) => covers(coverage, recipe))));
