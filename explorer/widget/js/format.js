// Numbers as text, in the words of `explorer.text`. The spaces before units never break.

const SPACE = "\u00a0";
const MOST_DIGITS = 9; // after the point

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

// Quality as a percentage, in decibels, or as a bare number: 91.44 %, 23.1 dB, 0.932.
export function formatQuality(value, unit) {
  if (unit === "%") return `${(100 * value).toFixed(2)}${SPACE}%`;
  return unit === "dB" ? `${value.toFixed(1)}${SPACE}dB` : formatPlain(value);
}

// Its change in points, in decibels, or as it is: −2.99 points.
export function formatPoints(change, unit) {
  if (change === 0) return "no change";
  const sign = change < 0 ? "−" : "+";
  const size = Math.abs(change);
  if (unit === "%") return `${sign}${(100 * size).toFixed(2)}${SPACE}points`;
  return unit === "dB" ? `${sign}${size.toFixed(2)}${SPACE}dB` : `${sign}${formatPlain(size)}`;
}

// Three digits, without a unit: 0.932, 12.3, 1,234 (`explorer.metrics.plain`).
function formatPlain(value) {
  const size = Math.abs(value);
  if (size >= 1000) return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
  const digits = size ? 2 - Math.floor(Math.log10(size)) : 3;
  return value.toFixed(Math.min(Math.max(digits, 0), MOST_DIGITS));
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
