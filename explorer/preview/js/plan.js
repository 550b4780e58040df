// From what was asked to what the graph allows: the same decisions as `explorer.compress.plan`.
//
// `counts` is what `explorer.preview.counts` sends:
// - `layers`, in the order in which they run: `channels`, of which `kept` (a size) stay; `user`, the
//   first layer with the same weight; `storage`, for each width of the activations and of the
//   weights, what width, type and opset it becomes, and then type and opset where no multiple of
//   four is kept; `closed` layers are left alone.
// - `groups` of channels: `members` (layers), and where they may shrink the `ends` of their portions
//   (channels that are gone after each) and the `weight` of a channel.
// - `turns`: what decides which group gives its next portion away.
// - `masks`, by pattern: the `layers` that it suits, their `pieces`, of which at least some stay, and
//   either the `order` in which portions of them go, or histograms of their scores.
// - `bits`: the `errors` of each layer at each of the `widths` that an average is made of.

import { argmin, argsort, product, round, sum, unpacked } from "./arithmetic.js";
import { lengthOf } from "./sizes.js";

const PER_BYTE = 4; // weights of 2 bits
export const MOST_SPREAD_BITS = 8; // that an average is made of
export const FIXED_SPARSITY = { "2:4": 0.5, "4:8": 0.5 };

// What happens to each layer: { gone, layers }, `gone` the portions that each group has given away,
// `layers` with { kept, sparsity, bits, storage, opset }.
export function plan(counts, recipe) {
  const own = choices(counts, recipe);
  const gone = goneOf(counts, recipe, own);
  const sparsity = sparsityOf(counts, recipe, own);
  const bits = bitsOf(counts, recipe, own, gone);
  const layers = counts.layers.map((layer, place) => {
    if (layer.closed) {
      return { kept: layer.channels, sparsity: 0, bits: layer.bits, storage: null, opset: 0 };
    }
    const rows = layer.storage[recipe.activation_bits];
    const [width, ...types] = rows[bits[layer.user]];
    const kept = lengthOf(counts, layer.kept, gone);
    const [storage, opset] = kept % PER_BYTE && types.length > 2 ? types.slice(2) : types;
    return { kept, sparsity: sparsity[layer.user] ?? 0, bits: width, storage, opset };
  });
  return { gone, layers };
}

// The group that a layer gives its channels away with, if it does.
export function groupOf(counts, place) {
  return counts.groups.find((group) => group.ends?.length && group.members.includes(place));
}

// The recipe's choice for each layer, by the layer's place.
function choices(counts, recipe) {
  const byName = new Map((recipe.layers ?? []).map((choice) => [choice.name, choice]));
  return counts.layers.map((layer) => byName.get(layer.name) ?? {});
}

// Portions that each group gives away.
function goneOf(counts, recipe, own) {
  const gone = counts.groups.map(() => 0);
  if (recipe.pattern !== "channel") return gone;
  const shared = [];
  counts.groups.forEach((group, place) => {
    if (!group.ends) return;
    const asked = group.members.map((at) => own[at].ratio).filter((ratio) => ratio != null);
    const ratio = asked.length ? Math.min(...asked) : recipe.ratio;
    gone[place] = closest(group, ratio * group.channels);
    if (!asked.length && recipe.scope === "global") shared.push(place);
  });
  if (shared.length && recipe.ratio) {
    take(counts, shared, recipe.ratio).forEach((number, at) => (gone[shared[at]] = number));
  }
  return gone;
}

// The number of portions that removes nearly so many channels.
function closest(group, channels) {
  return argmin([0, ...group.ends].map((end) => Math.abs(end - channels)));
}

function sizeOf(group, portion) {
  return group.ends[portion] - (portion ? group.ends[portion - 1] : 0);
}

// Portions of some groups, in turn, until a ratio of all their layers' channels is gone.
function take(counts, shared, ratio) {
  const groups = shared.map((place) => counts.groups[place]);
  const total = sum(groups.map((group) => group.channels * group.weight));
  const taken = groups.map(() => 0);
  const next = groups.map(() => 0);
  const turns = turnsOf(counts, shared);
  const removed = [0];
  for (const turn of turns) {
    removed.push(removed.at(-1) + sizeOf(groups[turn], next[turn]) * groups[turn].weight);
    next[turn]++;
  }
  const count = argmin(removed.map((channels) => Math.abs(channels - ratio * total)));
  for (const turn of turns.slice(0, count)) taken[turn]++;
  return taken;
}

const known = new WeakMap(); // turns of some groups, which the sliders don't change

function turnsOf(counts, shared) {
  if (!known.has(counts)) known.set(counts, new Map());
  const ofModel = known.get(counts);
  const key = shared.join();
  if (!ofModel.has(key)) {
    ofModel.set(key, counts.turns.means ? byScore(counts, shared) : byError(counts, shared));
  }
  return ofModel.get(key);
}

// The group whose turn it is, portion after portion, the lowest mean score first.
function byScore(counts, shared) {
  const means = shared.map((place) => counts.turns.means[place]);
  const owners = means.flatMap((row, at) => row.map(() => at));
  return argsort(means.flat()).map((at) => owners[at]);
}

// The same, the least error for its multiply-accumulates first.
function byError(counts, shared) {
  const { errors, macs } = counts.turns;
  const column = new Map(shared.map((place, at) => [place, at]));
  const narrow = (row) =>
    row.filter(([place]) => column.has(place)).map(([place, share]) => [column.get(place), share]);
  const inputs = counts.turns.inputs.map(narrow);
  const outputs = counts.turns.outputs.map(narrow);
  const touched = shared.map((_, at) =>
    macs.flatMap((_, row) => {
      const [into, outOf] = [shareOf(inputs[row], at), shareOf(outputs[row], at)];
      return into || outOf ? [[row, into, outOf]] : [];
    }),
  );
  const groups = shared.map((place) => counts.groups[place]);
  const taken = groups.map(() => 0);
  const gone = groups.map(() => 0);
  const turns = [];
  for (;;) {
    const open = groups.map((_, at) => at).filter((at) => taken[at] < groups[at].ends.length);
    if (!open.length) return turns;
    const leftIn = inputs.map((row) => 1 - total(row, gone));
    const leftOut = outputs.map((row) => 1 - total(row, gone));
    const prices = open.map((at) => {
      const share = sizeOf(groups[at], taken[at]) / groups[at].channels;
      let saved = 0;
      for (const [row, into, outOf] of touched[at]) {
        const then = (leftIn[row] - into * share) * (leftOut[row] - outOf * share);
        saved += macs[row] * (leftIn[row] * leftOut[row] - then);
      }
      return errors[shared[at]][taken[at]] / Math.max(saved, 1);
    });
    const chosen = open[argmin(prices)];
    gone[chosen] += sizeOf(groups[chosen], taken[chosen]) / groups[chosen].channels;
    taken[chosen]++;
    turns.push(chosen);
  }
}

function shareOf(row, column) {
  return row.find(([at]) => at === column)?.[1] ?? 0;
}

function total(row, gone) {
  let all = 0;
  for (const [at, share] of row) all += share * gone[at];
  return all;
}

// The fraction of zeros in the weights of each layer that owns some, by the layer's place.
function sparsityOf(counts, recipe, own) {
  const pattern = recipe.pattern;
  if (pattern === "none" || pattern === "channel") return {};
  const found = {};
  if (pattern in FIXED_SPARSITY) {
    counts.layers.forEach((layer, place) => {
      const suits = !layer.closed && layer.user === place && !layer.unsuited.includes(pattern);
      const ratio = own[place].ratio ?? FIXED_SPARSITY[pattern];
      if (suits && ratio > 0) found[place] = FIXED_SPARSITY[pattern];
    });
    return found;
  }
  const masks = counts.masks[pattern];
  const removed = masks.pieces.map((pieces, at) => {
    return round((own[masks.layers[at]].ratio ?? recipe.ratio) * pieces);
  });
  const shared = masks.layers.flatMap((place, at) => (own[place].ratio == null ? [at] : []));
  if (recipe.scope === "global" && (masks.order || masks.bins) && shared.length && recipe.ratio) {
    const spread = masks.order ? byNeed : byThreshold;
    spread(masks, shared, recipe.ratio).forEach((number, at) => (removed[shared[at]] = number));
  }
  masks.layers.forEach((place, at) => {
    found[place] = Math.min(removed[at], masks.pieces[at] - masks.least[at]) / masks.pieces[at];
  });
  return found;
}

// Pieces go where the next ones cost least error, until enough are gone.
function byNeed(masks, shared, ratio) {
  masks.turns ??= unpacked(masks.order);
  const column = new Map(shared.map((at, place) => [at, place]));
  const portions = shared.map((at) => masks.pieces[at] * masks.portion);
  const wanted = ratio * sum(shared.map((at) => masks.pieces[at]));
  const removed = shared.map(() => 0);
  let before = 0;
  for (const owner of masks.turns) {
    const at = column.get(owner);
    if (at === undefined) continue;
    if (before >= wanted) break;
    removed[at] += Math.min(wanted - before, portions[at]);
    before += portions[at];
  }
  const beyond = Math.max(wanted - sum(removed), 0);
  const left = shared.map((at, place) => masks.pieces[at] - removed[place]);
  const all = Math.max(sum(left), 1);
  return removed.map((number, at) => round(number + (beyond * left[at]) / all));
}

// One threshold on all scores, which the histograms tell; within its bin, alike.
function byThreshold(masks, shared, ratio) {
  masks.histograms ??= masks.bins.map((bins, at) => [unpacked(bins), unpacked(masks.counts[at])]);
  const counted = new Map();
  for (const at of shared) {
    const [bins, filled] = masks.histograms[at];
    bins.forEach((bin, place) => counted.set(bin, (counted.get(bin) ?? 0) + filled[place]));
  }
  const bins = [...counted.keys()].sort((a, b) => a - b);
  const target = round(ratio * sum([...counted.values()]));
  let [edge, below] = [0, 0];
  while (edge < bins.length && below + counted.get(bins[edge]) < target) {
    below += counted.get(bins[edge++]);
  }
  const bin = bins[edge] ?? Infinity;
  const share = (target - below) / Math.max(counted.get(bin) ?? 0, 1);
  return shared.map((at) => {
    const [own, filled] = masks.histograms[at];
    let [under, inside] = [0, 0];
    own.forEach((place, number) => {
      if (place < bin) under += filled[number];
      else if (place === bin) inside = filled[number];
    });
    return under + Math.floor(inside * share);
  });
}

// Bits that are asked for, by the place of the layer that owns the weight.
function bitsOf(counts, recipe, own, gone) {
  const bits = {};
  for (const place of counts.bits.layers) bits[place] = own[place].weight_bits ?? recipe.weight_bits;
  if (recipe.bits_scope !== "global" || recipe.weight_bits > MOST_SPREAD_BITS) return bits;
  const { layers, widths, errors } = counts.bits;
  const shared = layers.flatMap((place, at) => (own[place].weight_bits == null ? [at] : []));
  const weights = weightsLeft(counts, gone);
  let left = 0;
  const steps = [];
  for (const at of shared) {
    const place = layers[at];
    bits[place] = widths[0];
    left += (recipe.weight_bits - widths[0]) * weights[place];
    steps.push(...stepsOf(place, widths, errors[at], Math.max(weights[place], 1)));
  }
  for (const at of argsort(steps.map((step) => -step.gain))) {
    const { place, narrow, wide } = steps[at];
    const price = (wide - narrow) * weights[place];
    if (bits[place] === narrow && price <= left) {
      bits[place] = wide;
      left -= price;
    }
  }
  return bits;
}

// How many weights each layer keeps, by its place.
function weightsLeft(counts, gone) {
  const left = {};
  for (const tensor of counts.tensors) {
    if (tensor.layer === undefined) continue;
    left[tensor.layer] = product(tensor.dims.map((at) => lengthOf(counts, at, gone)));
  }
  return left;
}

// From each width to the next on the lower convex hull of error by bits.
function stepsOf(place, widths, errors, size) {
  const steps = [];
  for (let at = 1; at < widths.length; at++) {
    let start = at - 1;
    let gain;
    for (;;) {
      gain = (errors[start] - errors[at]) / ((widths[at] - widths[start]) * size);
      if (!steps.length || gain <= steps.at(-1).gain) break;
      start = widths.indexOf(steps.pop().narrow);
    }
    steps.push({ gain, place, narrow: widths[start], wide: widths[at] });
  }
  return steps;
}
