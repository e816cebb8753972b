import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { addFound, activeObject, removeObject } from "../canvas/prompts.js";

/**
 * @typedef {import("../shared/contracts.js").FoundInstance} Found
 * @typedef {import("../canvas/view.js").Canvas} Canvas
 */

const NOTHING = "Nothing is proposed: type what to find, or select an object with a box, and press Find all.";
export const UNANSWERED = "A proposal is open: Y keeps it, I leaves it out.";

/** Proposes every instance of a word or an example box, one after the other, each to be kept or left out. */
export class Finding {
  /** Not yet proposed, the likeliest first. @type {Found[]} */
  coming = [];
  count = 0;
  kept = 0;
  name = "";
  /** The id of the object that is proposed. @type {number | null} */
  proposed = null;

  /**
   * @param {Canvas} canvas
   * @param {(question: object) => Promise<{found: Found[]} | null>} ask
   */
  constructor(canvas, ask) {
    this.canvas = canvas;
    this.ask = ask;
    this.words = h("input", { type: "text", id: "find-words", maxlength: "200", spellcheck: "false",
      placeholder: "a word, or empty for objects like the selected one", "aria-label": "What to find" });
    this.words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      this.find();
    });
    this.element = h("div", { class: "job-find" }, this.words, button("Find all", "find-all", () => this.find()));
  }

  /** Whether a proposal waits for an answer. It may have been undone. */
  get open() {
    return this.proposed !== null && this.canvas.prompts.objects.some(({ id }) => id === this.proposed);
  }

  /** Forget what is left to propose. */
  clear() {
    this.coming = [];
    this.proposed = null;
  }

  async find() {
    if (this.open) return this.canvas.say(UNANSWERED);
    const { value, prompts } = this.canvas;
    const words = this.words.value.trim();
    const example = words ? null : activeObject(prompts).box;
    if (!value) return;
    const reply = await this.ask({ key: value.key, words, example });
    if (!reply || this.canvas.value?.key !== value.key) return;
    this.canvas.frame.focus({ preventScroll: true });
    [this.coming, this.count, this.kept] = [reply.found, reply.found.length, 0];
    this.name = words || activeObject(prompts).name;
    if (!this.count) return this.canvas.say("Nothing was found.");
    this.#propose();
  }

  /** @param {boolean} keeps */
  answer(keeps) {
    if (this.proposed === null) return this.canvas.say(NOTHING);
    const { prompts } = this.canvas;
    const at = prompts.objects.findIndex(({ id }) => id === this.proposed);
    this.kept += Number(keeps && at >= 0);
    if (!keeps && at >= 0) this.canvas.commit(removeObject({ ...prompts, active: at }));
    this.proposed = null;
    if (this.coming.length) this.#propose();
    else this.canvas.say(`${this.kept} of ${this.count} kept.`);
  }

  #propose() {
    const { box, start, score } = /** @type {Found} */ (this.coming.shift());
    this.canvas.commit(addFound(this.canvas.prompts, { name: this.name, box, start }));
    this.proposed = activeObject(this.canvas.prompts).id;
    const number = this.count - this.coming.length;
    this.canvas.say(`Proposal ${number} of ${this.count}, ${Math.round(100 * score)} % sure: Y keeps it, I leaves it out.`);
  }
}
