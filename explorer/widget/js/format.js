// Numbers as text, in the words of `explorer.text`. The spaces before units never break.

const SPACE = "\u00a0";

// Decimal units, three significant digits: 356 kB, 1.42 MB.
export function formatBytes(size) {
  return scaled(size, ["B", "kB", "MB", "GB"]);
}

// Three significant digits: 77.8 k, 9.11 M.
export function formatCount(count) {
  return scaled(count, ["", "k", "M", "G"]);
}

// Three significant digits: 152 µs, 1.30 ms.
export function formatSeconds(seconds) {
  for (const [unit, scale] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) {
    if (seconds >= scale) return `${digits(seconds / scale)}${SPACE}${unit}`;
  }
  return `${digits(seconds / 1e-6)}${SPACE}µs`;
}

// The change in percent: −91 %; with a decimal where it is small.
export function formatChange(before, after) {
  if (before === after) return "no change";
  if (!before) return "–";
  const change = (100 * (after - before)) / before;
  const size = Math.abs(change);
  return `${change < 0 ? "−" : "+"}${size.toFixed(size >= 9.95 ? 0 : 1)}${SPACE}%`;
}

// Quality as a percentage, or in decibels: 91.44 %, 23.1 dB.
export function formatQuality(value, inDecibels) {
  return inDecibels ? `${value.toFixed(1)}${SPACE}dB` : `${(100 * value).toFixed(2)}${SPACE}%`;
}

// Its change in points, or in decibels: −2.99 points.
export function formatPoints(change, inDecibels) {
  if (change === 0) return "no change";
  const size = Math.abs(inDecibels ? change : 100 * change).toFixed(2);
  return `${change < 0 ? "−" : "+"}${size}${SPACE}${inDecibels ? "dB" : "points"}`;
}

export function formatPercent(share) {
  return `${Math.round(100 * share)}${SPACE}%`;
}

function scaled(value, units) {
  for (let power = units.length - 1; power > 0; power--) {
    if (value >= 1000 ** power) return `${digits(value / 1000 ** power)}${SPACE}${units[power]}`;
  }
  return units[0] ? `${value.toFixed(0)}${SPACE}${units[0]}` : value.toFixed(0);
}

function digits(value) {
  return value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}
