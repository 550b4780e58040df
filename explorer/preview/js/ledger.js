// What was predicted when the hand let go, and by how much it was off once it had been measured.

const FEWEST = 3; // before the ledger tells of a usual error
const FINAL = ["measured", "noisy"]; // kinds of numbers that stay
const ERRORS = {
  latency: (predicted, measured) => Math.abs(predicted / measured - 1),
  quality: (predicted, measured) => Math.abs(predicted - measured),
};

const ledgers = new Map(); // for as long as the page is open

// The ledger of one model and of what its predictions are made from: on other samples they would be
// held against numbers that they say nothing about.
export function ledgerOf(model, basis) {
  const key = JSON.stringify([model, basis]);
  if (!ledgers.has(key)) ledgers.set(key, new Ledger());
  return ledgers.get(key);
}

export class Ledger {
  constructor() {
    this.open = new Map(); // recipe: what was predicted, by number
    this.settled = new Map(); // recipe: { number: { predicted, error } }
  }

  predict(recipe, predicted) {
    if (!this.settled.has(recipe)) this.open.set(recipe, predicted);
  }

  // Take in what was measured of a recipe, as far as it is.
  settle(recipe, numbers) {
    const predicted = this.open.get(recipe);
    if (!predicted) return;
    const found = this.settled.get(recipe) ?? {};
    for (const { key, kind, value } of numbers) {
      const own = predicted[key];
      if (own == null || value === null || !FINAL.includes(kind) || !(key in ERRORS)) continue;
      found[key] = { predicted: own, error: ERRORS[key](own, value) };
    }
    this.settled.set(recipe, found);
  }

  // What was predicted of a recipe and how it came out, by number.
  of(recipe) {
    return this.settled.get(recipe) ?? {};
  }

  // The median error of a number, or null while there are too few.
  usual(key) {
    const errors = [...this.settled.values()].flatMap((found) => found[key]?.error ?? []);
    if (errors.length < FEWEST) return null;
    errors.sort((a, b) => a - b);
    const middle = errors.length >> 1;
    return errors.length % 2 ? errors[middle] : (errors[middle - 1] + errors[middle]) / 2;
  }
}
