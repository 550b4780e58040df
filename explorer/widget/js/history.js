// What was chosen before, and what was taken back.

import { keyOf } from "./recipe.js";

const MOST = 100;

export class History {
  constructor(first) {
    this.chosen = [first];
    this.at = 0;
  }

  // Stand at a recipe, which may be where this was before.
  begin(recipe) {
    if (keyOf(recipe) !== keyOf(this.chosen[this.at])) this.add(recipe);
  }

  // What was taken back before is gone.
  add(recipe) {
    this.chosen = [...this.chosen.slice(0, this.at + 1), recipe].slice(-MOST);
    this.at = this.chosen.length - 1;
  }

  get can() {
    return { undo: this.at > 0, redo: this.at < this.chosen.length - 1 };
  }

  undo() {
    if (this.can.undo) this.at -= 1;
    return this.chosen[this.at];
  }

  redo() {
    if (this.can.redo) this.at += 1;
    return this.chosen[this.at];
  }
}
