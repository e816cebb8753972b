import { maskAt } from "../shared/rle.js";
import { laid, painted } from "./paint.js";
import { drawShape, onScreen, pathOf } from "./shapes.js";

/**
 * @typedef {import("./types.js").Prompt} Prompt
 * @typedef {import("./types.js").Size} Size
 * @typedef {import("./types.js").Rle} Rle
 * @typedef {{opacity: number, fill: boolean}} Look
 */

const KEPT = 48; // shapes: as many as are visible at once, and some steps of undo

/**
 * The masks of the objects at the live size, with their strokes.
 *
 * A mask belongs to one state of one object, so that undo shows it at once; a state that was not answered yet shows its
 * object's latest.
 */
export class Masks {
  /** @type {WeakMap<Prompt, Rle | null>} */
  #segmented = new WeakMap();
  /** @type {Map<number, Rle | null>} */
  #latest = new Map();
  /**
   * The newest last. A history keeps every state of an object, so large values must not hang on those.
   * @type {Map<Prompt, {under: Rle | null, path: Path2D, mask: Uint8Array}>}
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
   * @param {Rle | null} rle of any size; null for an empty mask
   */
  put(object, rle) {
    this.#segmented.set(object, rle);
    this.#latest.set(object.id, rle);
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
    const under = this.#under(object);
    if (!under && !object.strokes.length && !object.painted) return null;
    const known = this.#shapes.get(object);
    if (known?.under === under) return known;
    const bottom = under ? maskAt(under, ...this.size) : new Uint8Array(this.size[0] * this.size[1]);
    const mask = painted(laid(bottom, this.size, object), this.size, object.strokes, this.picture);
    const shape = { under, path: pathOf(mask, this.size), mask };
    this.#shapes.delete(object);
    this.#shapes.set(object, shape);
    for (const oldest of this.#shapes.keys()) {
      if (this.#shapes.size <= KEPT) break;
      this.#shapes.delete(oldest);
    }
    return shape;
  }

  /**
   * The segmenter's mask for an object's prompts, if it is known.
   * @param {Prompt} object
   * @returns {Rle | null}
   */
  #under(object) {
    if (!object.box && !object.points.length && !object.start) return null;
    return this.#segmented.get(object) ?? this.#latest.get(object.id) ?? null;
  }
}
