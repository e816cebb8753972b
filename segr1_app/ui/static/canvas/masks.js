import { maskAt } from "../shared/rle.js";
import { withLayers, painted } from "./paint.js";
import { drawShape, onScreen, pathOf } from "./shapes.js";

/**
 * @typedef {import("./types.js").Prompt} Prompt
 * @typedef {import("./types.js").Size} Size
 * @typedef {import("./types.js").Rle} Rle
 * @typedef {{opacity: number, fill: boolean}} Look
 *
 * The server's answer for one object, masks of any size: the segmenter's, and what cleaning removes and fills.
 * @typedef {{rle: Rle | null, removed?: Rle | null, filled?: Rle | null}} Answer
 */

const KEPT = 48; // shapes: as many as are visible at once, and some steps of undo

/**
 * The masks of the objects at the live size, with their strokes, cleaned where that is asked for.
 *
 * A mask belongs to one state of one object, so that undo shows it at once; a state that was not answered yet shows its
 * object's latest.
 */
export class Masks {
  /** @type {WeakMap<Prompt, Answer>} */
  #answers = new WeakMap();
  /** @type {Map<number, Answer>} */
  #latest = new Map();
  /**
   * The newest last. A history keeps every state of an object, so large values must not hang on those.
   * @type {Map<Prompt, {answer: Answer | undefined, path: Path2D, mask: Uint8Array, cleaned: Path2D | null}>}
   */
  #shapes = new Map();

  /**
   * @param {Size} picture
   * @param {Size} size of the masks
   */
  constructor(picture, size) {
    this.picture = picture;
    this.size = size;
  }

  /**
   * @param {Prompt} object
   * @param {Answer} answer
   */
  put(object, answer) {
    this.#answers.set(object, answer);
    this.#latest.set(object.id, answer);
  }

  /**
   * An object's mask with its strokes; null where there is neither.
   * @param {Prompt} object
   * @returns {Uint8Array | null}
   */
  of(object) {
    return this.#shape(object)?.mask ?? null;
  }

  /**
   * The outlines of what cleaning changes in an object's mask, in mask pixels; null where it changes nothing.
   * @param {Prompt} object
   * @returns {Path2D | null}
   */
  cleaned(object) {
    return this.#shape(object)?.cleaned ?? null;
  }

  /**
   * @param {CanvasRenderingContext2D} context whose canvas covers the view
   * @param {Prompt[]} objects
   * @param {import("./types.js").View} view
   * @param {(index: number) => string} colour
   * @param {string} casing
   * @param {Look} look
   */
  draw(context, objects, view, colour, casing, look) {
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const place = onScreen(view, this.picture, this.size);
    objects.forEach((object, index) => {
      const path = this.#shape(object)?.path;
      if (path) drawShape(context, path, place, colour(index), casing, look.fill ? look.opacity : 0);
    });
  }

  /** @param {Prompt} object */
  #shape(object) {
    const answer = this.#answers.get(object) ?? this.#latest.get(object.id);
    const under = object.box || object.points.length || object.start ? answer?.rle : null;
    if (!under && !object.strokes.length && !object.painted) return null;
    const known = this.#shapes.get(object);
    if (known && known.answer === answer) return known;
    const bottom = under ? maskAt(under, ...this.size) : new Uint8Array(this.size[0] * this.size[1]);
    const rough = painted(withLayers(bottom, this.size, object), this.size, object.strokes, this.picture);
    const { removed = null, filled = null } = (object.clean && answer) || {};
    const mask = withLayers(rough, this.size, { painted: filled, erased: removed });
    const cleaned = removed || filled ? pathOf(mask.map((inside, at) => inside ^ rough[at]), this.size) : null;
    const shape = { answer, path: pathOf(mask, this.size), mask, cleaned };
    this.#shapes.delete(object);
    this.#shapes.set(object, shape);
    for (const oldest of this.#shapes.keys()) {
      if (this.#shapes.size <= KEPT) break;
      this.#shapes.delete(oldest);
    }
    return shape;
  }
}
