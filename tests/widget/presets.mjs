// The presets for { counts, recipe } from standard input.

import { readFileSync } from "node:fs";

import { presets } from "../../explorer/widget/js/presets.js";

const { counts, recipe } = JSON.parse(readFileSync(0));
console.log(JSON.stringify(presets(counts, recipe)));
