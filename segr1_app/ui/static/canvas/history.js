/**
 * Undo and redo without limit. States share unchanged parts, so that a long history costs little.
 * @template T
 */
export class History {
  /** @param {T} present */
  constructor(present) {
    /** @type {T[]} */
    this.past = [];
    this.present = present;
    /** @type {T[]} */
    this.future = [];
  }

  /**
   * Add a state that undo returns from; adding the present state does nothing.
   * @param {T} next
   */
  commit(next) {
    if (next === this.present) return;
    this.past.push(this.present);
    this.present = next;
    this.future = [];
  }

  /**
   * Replace the present state by one that differs in no edit: another selection, another active object.
   * @param {T} present
   */
  amend(present) {
    this.present = present;
  }

  /** @returns {boolean} whether there was something to undo */
  undo() {
    return this.#step(this.past, this.future);
  }

  /** @returns {boolean} whether there was something to redo */
  redo() {
    return this.#step(this.future, this.past);
  }

  /**
   * @param {T[]} from
   * @param {T[]} to
   */
  #step(from, to) {
    const state = from.pop();
    if (state === undefined) return false;
    to.push(this.present);
    this.present = state;
    return true;
  }
}
