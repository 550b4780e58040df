// Arithmetic as Python and Protocol Buffers do it.

// The nearest whole number, halves to the even one.
export function round(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

export function product(dims) {
  return dims.reduce((all, dim) => all * dim, 1);
}

export function sum(values) {
  return values.reduce((all, value) => all + value, 0);
}

// The place of the first smallest value.
export function argmin(values) {
  let best = 0;
  for (let at = 1; at < values.length; at++) if (values[at] < values[best]) best = at;
  return best;
}

// Places of the values in rising order; equal ones stay in theirs.
export function argsort(values) {
  return values.map((_, at) => at).sort((a, b) => values[a] - values[b] || a - b);
}

// Bytes of a whole number as a varint.
export function varintBytes(value) {
  let bytes = 1;
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

// Bytes of a field with a one-byte tag, its length, and its payload.
export function fieldBytes(payload) {
  return 1 + varintBytes(payload) + payload;
}

// Base64 of little-endian uint32.
export function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Uint32Array(bytes.buffer);
}
