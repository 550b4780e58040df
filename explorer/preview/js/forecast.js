// Latency and quality of any recipe, from a few that were measured.
//
// `survey` is a list of { recipe, output_error, quality, reference, latency } (latency: its ratio to
// the original's, or null; all but the recipe are missing without samples; `falls`, where less quality
// is better). The squared errors of the
// outputs nearly add up, so that of a recipe is the sum of what pruning, narrow weights and rounded
// activations give alone, and a choice for one layer changes it by what that layer gives alone. From
// error to quality leads one falling curve for all. Time follows the multiply-accumulates that are
// left, on a curve for each kind of kernel.

import { estimate } from "./estimate.js";
import { FIXED_SPARSITY, plan } from "./plan.js";
import { sum } from "./arithmetic.js";

const LEAST = 1e-7; // an error so small is none
const ROOM = 1e-4; // of errors on the curve, below which quality no longer tells them apart
const STEEPNESS = 1.4; // of a single layer's error: that of (f / (1 - f)), f the share that goes
const [LEAST_GONE, MOST_GONE] = [0.001, 0.98]; // shares, beyond which curves aren't followed
const MOST_STEEP = 1.5;
const LEAST_TIME = 0.01;

// The surveyed points, as far as they were measured on the same model and samples as the numbers.
export function pointsOf(surveyed, basis) {
  return surveyed && surveyed.basis === basis ? surveyed.points : [];
}

export class Forecast {
  constructor(counts, survey) {
    this.counts = counts;
    const whole = survey.filter(({ recipe }) => !recipe.layers.length);
    const scored = whole.filter((point) => point.output_error != null);
    this.whole = whole.length ? macsOf(counts, plainOf(whole[0].recipe)) : 0;
    this.removal = {}; // pattern: logarithms of [odds of what goes, error]
    this.width = {}; // bits: error
    this.rounding = null;
    for (const { recipe, output_error: error } of scored) {
      const { pattern, weight_bits: bits, activation_bits: activations } = recipe;
      if (pattern !== "none" && bits === 32 && activations === 32) {
        (this.removal[pattern] ??= []).push([this.#gone(recipe), Math.log(error + LEAST)]);
      } else if (pattern === "none" && activations === 32) this.width[bits] = error;
      else if (pattern === "none" && bits === 32) this.rounding = error;
    }
    for (const curve of Object.values(this.removal)) curve.sort((a, b) => a[0] - b[0]);
    this.singles = singles(survey);
    this.sign = scored[0]?.falls ? -1 : 1;
    this.curve = fallingCurve(survey.filter((point) => point.output_error != null), this.sign);
    this.reference = scored[0]?.reference ?? null;
    this.times = times(counts, whole, this.whole);
  }

  // Quality, as much above or below `original` as the surveyed samples say; null where unknown.
  quality(recipe, planned, profile, original) {
    const error = this.error(recipe, planned, profile);
    if (error === null || this.curve.length < 2) return null;
    const value = this.sign * interpolate(this.curve, Math.log(error + ROOM));
    return this.reference === null ? value : value + (original ?? this.reference) - this.reference;
  }

  // Squared error of the outputs relative to their variance; null where too little is known.
  error(recipe, planned, profile) {
    const { weight_bits: bits, activation_bits: activations } = recipe;
    const parts = [
      this.#removed(recipe, recipe.layers.length ? undefined : profile.macs),
      this.#narrow(bits),
      activations === 32 ? 0 : this.rounding,
    ];
    if (parts.some((part) => part === null)) return null;
    if (!recipe.layers.length) return sum(parts);
    const plain = plan(this.counts, { ...recipe, layers: [] });
    parts[0] = changed(parts[0], this.#removedAlone(recipe.pattern, planned, plain));
    parts[1] = changed(parts[1], this.#narrowAlone(planned, plain));
    return sum(parts);
  }

  // The ratio to the original's latency; null where unknown.
  latency(recipe, planned, profile) {
    const { float, kinds } = this.times;
    if (float.length < 2) return null;
    const left = Math.max(LEAST_TIME, interpolate(float, profile.macs / this.whole, true));
    const all = sum(profile.layer_macs);
    const parts = planned.layers.map(({ bits }, at) => {
      const kind = kinds[kindOf(recipe.activation_bits, bits)];
      const share = all ? profile.layer_macs[at] / all : 1 / planned.layers.length;
      return kind ? share * kind.whole * left ** kind.steepness : null;
    });
    return parts.includes(null) ? null : Math.max(LEAST_TIME, sum(parts));
  }

  #removed(recipe, macs) {
    const { pattern, ratio } = recipe;
    if (pattern === "none") return 0;
    const curve = this.removal[pattern];
    const isFree = !(pattern in FIXED_SPARSITY);
    if (!curve || (isFree && curve.length < 2)) return null;
    if (!isFree) return Math.exp(curve[0][1]);
    if (!ratio) return 0;
    return Math.exp(interpolate(curve, this.#gone(recipe, macs), true));
  }

  // The logarithm of the odds of what a recipe takes out.
  #gone(recipe, macs) {
    if (recipe.pattern !== "channel") return Math.log(odds(recipe.ratio || 0.5));
    const alone = { ...plainOf(recipe), pattern: "channel", ratio: recipe.ratio };
    const left = macs ?? macsOf(this.counts, alone);
    return Math.log(odds(Math.min(MOST_GONE, Math.max(LEAST_GONE, 1 - left / this.whole))));
  }

  #narrow(bits) {
    if (bits === 32) return 0;
    const known = Object.entries(this.width).map(([width, error]) => {
      return [Number(width), Math.log(error + LEAST)];
    });
    if (known.length < 2) return null;
    return this.width[bits] ?? Math.exp(interpolate(known.sort((a, b) => a[0] - b[0]), bits));
  }

  // By how much the choices for single layers change the error of what is taken out.
  #removedAlone(pattern, planned, plain) {
    if (pattern === "none") return 0;
    if (pattern === "channel") {
      const { groups } = this.counts;
      return sum(
        groups.map((group, at) => {
          const [now, before] = [planned.gone[at], plain.gone[at]].map((gone) => share(group, gone));
          if (now === before) return 0;
          const names = group.members.map((member) => this.counts.layers[member].name);
          const name = names.find((each) => this.singles.channels.has(each));
          const { error, at: asked } = this.singles.channels.get(name) ?? this.#usualGroup();
          return (error * (steep(now) - steep(before))) / steep(asked);
        }),
      );
    }
    const all = this.#totalOfWeights();
    return sum(
      planned.layers.map((layer, at) => {
        const before = plain.layers[at].sparsity;
        if (layer.sparsity === before) return 0;
        const change = this.#masked(pattern, layer.sparsity) - this.#masked(pattern, before);
        return this.#weightOf(at, all) * change;
      }),
    );
  }

  #masked(pattern, sparsity) {
    return sparsity ? this.#removed({ pattern, ratio: sparsity }) : 0;
  }

  #narrowAlone(planned, plain) {
    const all = this.#totalOfWeights();
    return sum(
      planned.layers.map((layer, at) => {
        const before = plain.layers[at].bits;
        if (layer.bits === before || this.counts.layers[at].user !== at) return 0;
        const change = (this.#narrow(layer.bits) ?? 0) - (this.#narrow(before) ?? 0);
        return this.#weightOf(at, all) * change;
      }),
    );
  }

  // How much of an error that all weights have alike comes from one layer.
  #weightOf(place, all) {
    const single = this.singles.bits.get(this.counts.layers[place].name);
    if (single && all) return single.error / all;
    return 1 / this.counts.layers.length;
  }

  #totalOfWeights() {
    const found = [...this.singles.bits.values()];
    const missing = this.counts.bits.layers.length - found.length;
    const known = sum(found.map(({ error }) => error));
    return found.length ? known * (1 + Math.max(0, missing) / found.length) : 0;
  }

  // A group that hasn't been tried alone: like the average of the others, or as all share alike.
  #usualGroup() {
    const found = [...this.singles.channels.values()];
    if (found.length) {
      return { error: sum(found.map(({ error }) => error)) / found.length, at: found[0].at };
    }
    const open = this.counts.groups.filter((group) => group.ends?.length).length;
    const half = Math.exp(interpolate(this.removal.channel, 0, true));
    return { error: half / Math.max(1, open), at: 0.5 };
  }
}

// Errors of single layers and groups, by name: { error, at: what was asked of it }.
function singles(survey) {
  const found = { channels: new Map(), bits: new Map() };
  for (const { recipe, output_error: error } of survey) {
    if (recipe.layers.length !== 1 || error == null) continue;
    const [{ name, ratio, weight_bits: bits }] = recipe.layers;
    if (ratio !== null) found.channels.set(name, { error, at: ratio });
    else found.bits.set(name, { error, at: bits });
  }
  return found;
}

// Points [logarithm of the error, quality] of the falling steps that come closest to all; `sign` is -1
// where quality rises with the error.
function fallingCurve(points, sign) {
  const sorted = points.map((point) => [Math.log(point.output_error + ROOM), sign * point.quality]);
  if (points[0]?.reference != null) sorted.push([Math.log(ROOM), sign * points[0].reference]);
  sorted.sort((a, b) => a[0] - b[0]);
  const steps = []; // pool adjacent violators (Barlow et al., 1972)
  for (const [x, y] of sorted) {
    steps.push({ x, y, count: 1 });
    while (steps.length > 1 && steps.at(-2).y < steps.at(-1).y) {
      const [a, b] = steps.splice(-2);
      const count = a.count + b.count;
      const mean = (key) => (a[key] * a.count + b[key] * b.count) / count;
      steps.push({ x: mean("x"), y: mean("y"), count });
    }
  }
  return steps.map(({ x, y }) => [x, y]);
}

// `float`: [share of the MACs, share of the time]; `kinds`, by kind of kernel: the time of the `whole`
// network with it, and the `steepness` of that when channels go, against floats.
function times(counts, whole, macs) {
  const float = [[1, 1]];
  const wholes = { [kindOf(32, 32)]: 1 };
  const pruned = {}; // [share of the MACs, share of the time]
  for (const { recipe, latency } of whole) {
    if (latency == null) continue;
    const { pattern, weight_bits: bits, activation_bits: activations } = recipe;
    const point = [macsOf(counts, recipe) / macs, latency];
    if (pattern === "none") wholes[kindOf(activations, bits)] = latency;
    else if (activations === 32) float.push(point);
    else pruned[kindOf(activations, bits)] = point;
  }
  for (const like of [wholes, pruned]) {
    // Floats are unpacked before the network runs, so their width tells little.
    for (const bits of [8, 2]) like[kindOf(32, bits)] ??= like[kindOf(32, 4)];
    like[kindOf(8, 16)] ??= like[kindOf(8, 32)];
    like[kindOf(8, 2)] ??= like[kindOf(8, 4)];
  }
  float.sort((a, b) => a[0] - b[0]);
  const kinds = {};
  for (const [kind, time] of Object.entries(wholes)) {
    if (time !== undefined) {
      kinds[kind] = { whole: time, steepness: steepnessOf(pruned[kind], time, float) };
    }
  }
  return { float, kinds };
}

function steepnessOf(pruned, whole, float) {
  if (!pruned || float.length < 2) return 1;
  const share = interpolate(float, pruned[0], true);
  if (!(share > 0 && share < 1)) return 1;
  return Math.min(MOST_STEEP, Math.max(0, Math.log(pruned[1] / whole) / Math.log(share)));
}

// The same recipe with nothing done, as the base of what else it says.
function plainOf(recipe) {
  const nothing = { pattern: "none", ratio: 0, weight_bits: 32, activation_bits: 32, layers: [] };
  return { ...recipe, ...nothing };
}

function macsOf(counts, recipe) {
  return estimate(counts, recipe, plan(counts, recipe)).macs;
}

// Kernels differ by how activations come and weights are stored.
function kindOf(activations, bits) {
  const storage = [2, 4, 8, 16, 32].find((width) => bits <= width);
  return `${activations}/${storage}`;
}

// An error with a change, which never makes it less than a tenth.
function changed(error, by) {
  return Math.max(error / 10, error + by);
}

function share(group, gone) {
  return gone ? group.ends[gone - 1] / group.channels : 0;
}

function steep(share) {
  return odds(Math.min(share, MOST_GONE)) ** STEEPNESS;
}

function odds(ratio) {
  return ratio / (1 - ratio);
}

// Between two of the points [x, y], which rise in x; outside as at the end, or `onward` as before it.
function interpolate(points, x, onward = false) {
  const last = points.length - 1;
  let at = points.findIndex(([each]) => each >= x);
  if (!onward && at === 0) return points[0][1];
  if (!onward && at < 0) return points[last][1];
  if (at < 0) at = last;
  const [[x0, y0], [x1, y1]] = [points[Math.max(0, at - 1)], points[Math.max(1, at)]];
  return x1 === x0 ? y1 : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}
