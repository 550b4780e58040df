// The profile that a plan will have: the same sums as `explorer.compress.estimate`.
//
// `counts` holds, beside what `plan.js` reads:
// - `sizes` of axes that may shrink; a dimension is a length, or -1 - the place of a size.
// - `tensors` of the file that a recipe may change: the length of their `name`, `type` and `width` of
//   an element, `dims`, the bytes that they take now; of parameters the `bits` and how many aren't
//   zero; of a layer's weight what turns it back into floats. The `rest` in sum.
// - `biases` that integer kernels add, `constants` that name sizes, the `record` of the file.
// - `types` of tensors: the code, the bits of an element, and whether integer kernels multiply with it.
// - `macs`: by layer (-1: of none) [factor, divisor, sizes to multiply]. `memory`: activations, with the
//   first and last step at which each is there.

import { fieldBytes, product, round, sum, varintBytes } from "./arithmetic.js";
import { lengths } from "./sizes.js";

const FEW_BITS = 3; // levels with a zero point of their own
const INDEX_BITS = 16; // from one sparse weight to the next
const [SCALE, ZERO_POINT] = ["scale".length, "zero_point".length];

// { params, macs, file_bytes, packed_bytes, peak_activation_bytes, layer_macs }.
export function estimate(counts, recipe, plan) {
  const at = lengths(counts, plan.gone);
  const dimsOf = (dims) => dims.map((dim) => (dim >= 0 ? dim : at[-1 - dim]));
  const tensors = counts.tensors.map((tensor) => ({ ...tensor, now: dimsOf(tensor.dims) }));
  for (const tensor of tensors) {
    if (tensor.layer !== undefined) tensor.form = formOf(counts, tensor, plan.layers[tensor.layer]);
  }
  const weights = new Map(tensors.map((tensor) => [tensor.layer, tensor]));
  const rounds = recipe.activation_bits === 8;
  const biases = rounds ? integerBiases(counts, tensors, weights) : [];
  const layerMacs = counts.layers.map((_, place) => macsOf(counts.macs[place], at));
  return {
    params: counts.rest.params + sum(tensors.map(paramsOf)),
    macs: sum(layerMacs) + macsOf(counts.macs[-1], at),
    file_bytes: fileBytes(counts, recipe, plan, tensors, biases, dimsOf),
    packed_bytes: packedBytes(counts, plan, tensors, biases, at, rounds),
    peak_activation_bytes: peakBytes(counts, rounds, dimsOf),
    layer_macs: layerMacs,
  };
}

function macsOf(terms, at) {
  const value = ([factor, divisor, sizes]) => (factor * product(sizes.map((s) => at[s]))) / divisor;
  return sum((terms ?? []).map(value));
}

// Bytes of a tensor's entry: name, type, dimensions, and the elements as ONNX packs them.
function tensorBytes(name, type, width, dims) {
  let header = fieldBytes(name) + 1 + varintBytes(type);
  for (const dim of dims) header += 1 + varintBytes(dim);
  return fieldBytes(header + fieldBytes(dataBytes(dims, width)));
}

function dataBytes(dims, width) {
  return Math.ceil((product(dims) * width) / 8);
}

// How a layer's weight lies in the file: its own type, and what stands beside it.
function formOf(counts, tensor, layer) {
  const [type, width, inKernels] = counts.types[layer.storage];
  if (type === tensor.type) return { type, width, beside: 0, scaleBytes: 0, scale: null };
  if (layer.storage === "float16") {
    const beside = tensor.cast + tensor.renaming;
    return { type, width, beside, scaleBytes: 0, scale: null };
  }
  const [kind, scale] = scaleOf(counts, tensor, layer.storage);
  const pointed = inKernels || layer.bits <= FEW_BITS;
  const name = tensor.name + counts.mark;
  let beside = tensor.dequantize[pointed ? 1 : 0][kind] + tensor.renaming;
  const [scaleType, scaleWidth] = tensor.scale_type;
  beside += tensorBytes(name + SCALE, scaleType, scaleWidth, scale);
  let scaleBytes = dataBytes(scale, scaleWidth);
  if (pointed) {
    beside += tensorBytes(name + ZERO_POINT, type, width, scale);
    scaleBytes += dataBytes(scale, width);
  }
  return { type, width, beside, scaleBytes, scale, inKernels };
}

// Kind of a weight's grid (one scale, one a slice, one a block), and the scales' dimensions.
function scaleOf(counts, tensor, storage) {
  const { granularity, group_size: group } = counts.fixed;
  const inKernels = counts.types[storage][2];
  const one = tensor.one_scale || (tensor.one_scale_in_kernels && inKernels);
  if (one || granularity === "tensor") return [0, []];
  const dims = tensor.now;
  const whole = granularity === "channel" || inKernels || dims[tensor.summed] <= group;
  if (whole) return [1, [dims[tensor.scaled]]];
  return [2, dims.map((dim, axis) => (axis === tensor.summed ? Math.ceil(dim / group) : dim))];
}

// Biases that become int32: those of layers that an integer kernel runs.
function integerBiases(counts, tensors, weights) {
  const found = [];
  for (const bias of counts.biases) {
    const weight = weights.get(counts.layers[bias.layer].user);
    const tensor = tensors[bias.tensor];
    const whole = tensor.now[0] === weight.now[bias.out_axis];
    if (weight.form.inKernels && whole) found.push({ ...bias, tensor, weight });
  }
  return found;
}

function fileBytes(counts, recipe, plan, tensors, biases, dimsOf) {
  if (changesNothing(counts, recipe, plan)) return counts.file_bytes;
  const rounds = recipe.activation_bits === 8;
  let opset = rounds ? counts.rounding.opset : 0;
  for (const layer of plan.layers) opset = Math.max(opset, layer.opset);
  let size = counts.base_bytes[opset] + (rounds ? counts.rounding.file_bytes : 0);
  const rounded = new Map(biases.map((bias) => [bias.tensor, bias]));
  for (const tensor of tensors) {
    const form = tensor.form ?? tensor;
    const bias = rounded.get(tensor);
    const [type, width] = bias ? counts.types.int32 : [form.type, form.width];
    size += tensorBytes(tensor.name, type, width, tensor.now) - tensor.file_bytes;
    if (tensor.form) size += form.beside;
    if (bias) size += besideBias(counts, bias);
  }
  for (const constant of counts.constants) {
    if (!constant.groups.some((group) => plan.gone[group])) continue;
    const { name, type, width, dims, more } = constant;
    size += tensorBytes(name, type, width, dimsOf(dims)) + more;
  }
  return size + recordBytes(counts, plan, tensors);
}

function besideBias(counts, { tensor, weight, dequantize, renaming }) {
  const scale = weight.form.scale;
  const name = tensor.name + counts.mark + SCALE;
  const node = dequantize[scale.length ? 1 : 0];
  return tensorBytes(name, tensor.type, tensor.width, scale) + node + renaming;
}

function changesNothing(counts, recipe, plan) {
  const touched = plan.layers.some((layer, place) => {
    const before = counts.layers[place];
    if (before.closed) return false;
    const same = layer.storage === before.storage[32][32][1];
    return layer.kept !== before.channels || layer.sparsity !== 0 || !same;
  });
  return !touched && (recipe.activation_bits === 32 || !counts.rounding.points);
}

// What the file says about itself: true widths and masks that its types don't show, as JSON.
function recordBytes(counts, plan, tensors) {
  const entries = [...counts.record.kept];
  for (const tensor of tensors) {
    if (tensor.layer === undefined) continue;
    const { bits, sparsity } = plan.layers[tensor.layer];
    const parts = [];
    if (bits !== tensor.form.width) parts.push(`"bits":${bits}`);
    if (sparsity) parts.push(`"zeros":${round(sparsity * product(tensor.now))}`);
    if (parts.length) entries.push(tensor.quoted + 1 + `{${parts.join()}}`.length);
  }
  if (!entries.length) return 0;
  const text = 2 + sum(entries) + entries.length - 1;
  return fieldBytes(fieldBytes(counts.record.key) + fieldBytes(text));
}

// A single number that is added or multiplied is no parameter.
function paramsOf(tensor) {
  const size = tensor.bits ? product(tensor.now) : 0;
  return tensor.operand && size === 1 ? 0 : size;
}

// Weights at their width, the cheapest of dense, bitmask and index list, with their scales.
function packedBytes(counts, plan, tensors, biases, at, rounds) {
  const rounded = new Set(biases.map((bias) => bias.tensor));
  let bits = counts.rest.packed_bits;
  let scales = counts.rest.scale_bytes + (rounds ? counts.rounding.scale_bytes : 0);
  for (const tensor of tensors) {
    scales += tensor.form?.scaleBytes ?? 0;
    if (!paramsOf(tensor)) continue;
    const layer = tensor.layer === undefined ? null : plan.layers[tensor.layer];
    const size = product(tensor.now);
    const width = layer ? layer.bits : tensor.bits;
    let zeros = 0;
    if (layer?.sparsity) zeros = round(layer.sparsity * size);
    else if (width >= 16 && !rounded.has(tensor)) zeros = zerosLeft(tensor, width, size, at);
    const others = size - zeros;
    bits += Math.min(size * width, size + others * width, others * (width + INDEX_BITS));
  }
  for (const { weight } of biases) scales += dataBytes(weight.form.scale, weight.width);
  return Math.ceil(bits / 8) + scales;
}

// Zeros among the weights that stay. Where both axes shrink, as large a share as before.
// In float16 the smallest weights are zero, too.
function zerosLeft(tensor, width, size, at) {
  const half = width === 16 && tensor.nonzero_half !== undefined;
  const nonzero = half ? tensor.nonzero_half : tensor.nonzero;
  if (nonzero === null) return 0;
  if (nonzero < 0) return size - at[-1 - nonzero];
  return Math.round(size * (1 - nonzero / tensor.elements));
}

// The largest sum of activations that are there at one step.
function peakBytes(counts, rounds, dimsOf) {
  const change = [];
  const add = ([first, last], bytes) => {
    change[first] = (change[first] ?? 0) + bytes;
    change[last + 1] = (change[last + 1] ?? 0) - bytes;
  };
  for (const { steps, dims, width, rounded, given } of counts.memory) {
    const elements = product(dimsOf(dims));
    const wide = Math.ceil((elements * width) / 8);
    add(steps, rounds && rounded ? elements : wide);
    if (rounds && given) add([steps[0], steps[0]], wide); // the caller's own, until it is rounded
  }
  let [now, most] = [0, 0];
  for (let step = 0; step < change.length; step++) {
    now += change[step] ?? 0;
    most = Math.max(most, now);
  }
  return most;
}
