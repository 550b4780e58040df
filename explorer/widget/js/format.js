// Numbers as text, in the words of `explorer.render.text`. The spaces before units never break.

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
  for (const [unit, scale] of [["µs", 1e-6], ["ms", 1e-3]]) {
    const digits = threeDigits(seconds / scale);
    if (Number(digits) < 1000) return `${digits}${SPACE}${unit}`; // as it is written
  }
  return `${threeDigits(seconds)}${SPACE}s`;
}

// The change in percent: −91 %; with a decimal where it is small.
export function formatChange(before, after) {
  if (before === after) return "no change";
  if (!before) return "–";
  const change = (100 * (after - before)) / before;
  return `${signed(change, Math.abs(change) >= 9.95 ? 0 : 1)}${SPACE}%`;
}

// A ratio of latencies in words: 1.33× faster, 1.20× slower; "same speed" where no digit differs.
export function formatSpeedup(ratio) {
  const factor = fixed(ratio < 1 ? 1 / ratio : ratio, 2);
  if (factor === "1.00") return "same speed";
  return `${factor}×${SPACE}${ratio < 1 ? "faster" : "slower"}`;
}

// Quality as a percentage, in decibels, or as a bare number: 91.44 %, 23.1 dB, 0.932.
export function formatQuality(value, unit) {
  if (unit === "%") return `${fixed(100 * value, 2)}${SPACE}%`;
  return unit === "dB" ? `${fixed(value, 1)}${SPACE}dB` : formatPlain(value);
}

// Its change in percentage points, in decibels, or as it is: −2.99 pp.
export function formatPoints(change, unit) {
  if (change === 0) return "no change";
  if (unit === "%") return `${signed(100 * change, 2)}${SPACE}pp`;
  if (unit === "dB") return `${signed(change, 2)}${SPACE}dB`;
  return `${change < 0 ? "−" : "+"}${formatPlain(Math.abs(change))}`;
}

// A distance in percentage points, in decibels, or as it is: 2.99 pp.
export function formatDistance(size, unit) {
  if (unit === "%") return `${fixed(100 * size, 2)}${SPACE}pp`;
  return unit === "dB" ? `${fixed(size, 2)}${SPACE}dB` : formatPlain(size);
}

// Three digits, without a unit: 0.932, 12.3, 1,234 (`explorer.metrics.plain`).
function formatPlain(value) {
  const power = Number(value.toExponential(2).split("e")[1]); // of the number as it is written
  const digits = value ? Math.min(Math.max(2 - power, 0), MOST_DIGITS) : 3;
  const text = fixed(value, digits);
  return digits ? text : text.replace(/\B(?=(\d{3})+$)/g, ",");
}

export function formatPercent(share) {
  return `${fixed(100 * share, 0)}${SPACE}%`;
}

function scaled(value, units) {
  const last = units.length - 1;
  for (let power = 0; power < last; power++) {
    const digits = power ? threeDigits(value / 1000 ** power) : rounded(value, 0);
    if (Number(digits) >= 1000) continue; // as it is written
    return units[power] ? `${digits}${SPACE}${units[power]}` : digits;
  }
  return `${threeDigits(value / 1000 ** last)}${SPACE}${units[last]}`;
}

// With so many decimals: −5.8; never −0.0.
export function fixed(value, digits) {
  const text = rounded(value, digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

// A change with its sign: +2.00, −0.31; ≈ 0 where no digit of it is shown.
export function signed(change, digits) {
  const text = rounded(change, digits);
  if (Number(text) === 0) return change ? "≈ 0" : "0";
  return change > 0 ? `+${text}` : text.replace("-", "−");
}

function threeDigits(value) {
  return rounded(value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

// Halves go to the even digit, as in Python; `toFixed` takes them away from zero.
function rounded(value, digits) {
  const text = value.toFixed(digits);
  const halves = value * 2 ** (digits + 1); // exact; a half has an odd number of them
  if (!Number.isInteger(halves) || halves % 2 === 0 || Number(text.at(-1)) % 2 === 0) return text;
  return (value - Math.sign(value) * 0.25 * 10 ** -digits).toFixed(digits);
}
