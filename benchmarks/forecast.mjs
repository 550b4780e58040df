// Predicts recipes as the panel does: { counts, surveyed, original, recipes } from standard input ->
// [{ latency (a ratio), quality }].

import { readFileSync } from "node:fs";

import { Forecast } from "../explorer/preview/js/forecast.js";
import { estimate } from "../explorer/preview/js/estimate.js";
import { plan } from "../explorer/preview/js/plan.js";

const { counts, surveyed, original, recipes } = JSON.parse(readFileSync(0));
const forecast = new Forecast(counts, surveyed);
const told = recipes.map((recipe) => {
  const planned = plan(counts, recipe);
  const profile = estimate(counts, recipe, planned);
  return {
    latency: forecast.latency(recipe, planned, profile),
    quality: forecast.quality(recipe, planned, profile, original),
  };
});
console.log(JSON.stringify(told));
