// Compares modules with bundles of them: [[path, path of the bundle]] -> how many exports each has.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const compared = [];
for (const [alone, bundled] of JSON.parse(readFileSync(0))) {
  const [expected, found] = [await import(alone), await import(bundled)];
  assert.deepEqual(Object.keys(found), Object.keys(expected), alone);
  for (const name of Object.keys(expected)) {
    assert.equal(written(found[name]), written(expected[name]), `${name} of ${alone}`);
  }
  compared.push(Object.keys(found).length);
}
console.log(JSON.stringify(compared));

// A value as text, its functions too.
function written(value) {
  const text = (each) => (typeof each === "function" ? String(each) : each);
  return JSON.stringify(value, (_, each) => text(each)) ?? String(value);
}
