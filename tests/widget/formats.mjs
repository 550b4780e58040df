// Numbers from standard input as the panel writes them: { bytes, counts, seconds, changes, shares,
// qualities, ratios }.

import { readFileSync } from "node:fs";

import * as format from "../../explorer/widget/js/format.js";

const asked = JSON.parse(readFileSync(0));
const written = {
  bytes: asked.bytes.map(format.formatBytes),
  counts: asked.counts.map(format.formatCount),
  seconds: asked.seconds.map(format.formatSeconds),
  changes: asked.changes.map(([before, after]) => format.formatChange(before, after)),
  shares: asked.shares.map(format.formatPercent),
  speeds: asked.ratios.map(format.formatSpeedup),
  qualities: asked.qualities.map(([unit, value]) => format.formatQuality(value, unit)),
  points: asked.qualities.map(([unit, value]) => format.formatPoints(value, unit)),
};
console.log(JSON.stringify(written));
