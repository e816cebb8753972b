import { maskAt } from "../rle.js";
import { outlines } from "./outline.js";
import { painted } from "./paint.js";

/**
 * @typedef {import("./types.js").Prompt} Prompt
 * @typedef {import("./types.js").Size} Size
 * @typedef {import("./types.js").Rle} Rle
 * @typedef {{opacity: number, fill: boolean}} Look
 */

const KEPT = 48; // shapes: as many as are looked at, and some steps back

/**
 * The masks of the objects at the live size, with what is painted on them.
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
   * The newest last. A history keeps every state of an object, so what is large must not hang on those.
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
    const ratio = devicePixelRatio;
    const { width, height } = context.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const sx = (view.scale * this.picture[0]) / this.size[0];
    const sy = (view.scale * this.picture[1]) / this.size[1];
    objects.forEach((object, index) => {
      const path = this.#shape(object)?.path;
      if (!path) return;
      const onScreen = new Path2D();
      onScreen.addPath(path, new DOMMatrix([sx * ratio, 0, 0, sy * ratio, view.x * ratio, view.y * ratio]));
      if (look.fill) {
        context.globalAlpha = look.opacity;
        context.fillStyle = colour(index);
        context.fill(onScreen, "evenodd");
        context.globalAlpha = 1;
      }
      context.lineJoin = "round";
      // A dark edge around a white one around the object's colour: seen on grey, on bright and on dark pictures alike.
      for (const [stroke, line] of /** @type {[string, number][]} */ ([[casing, 5], ["#ffffff", 3.4], [colour(index), 2]])) {
        context.strokeStyle = stroke;
        context.lineWidth = line * ratio;
        context.stroke(onScreen);
      }
    });
  }

  /** @param {Prompt} object */
  #shape(object) {
    const under = this.#under(object);
    if (!under && !object.strokes.length) return null;
    const known = this.#shapes.get(object);
    if (known?.under === under) return known;
    const bottom = under ? maskAt(under, ...this.size) : new Uint8Array(this.size[0] * this.size[1]);
    const mask = painted(bottom, this.size, object.strokes, this.picture);
    const path = new Path2D();
    for (const loop of outlines(mask, this.size)) {
      path.moveTo(loop[0], loop[1]);
      for (let at = 2; at < loop.length; at += 2) path.lineTo(loop[at], loop[at + 1]);
      path.closePath();
    }
    const shape = { under, path, mask };
    this.#shapes.delete(object);
    this.#shapes.set(object, shape);
    for (const oldest of this.#shapes.keys()) {
      if (this.#shapes.size <= KEPT) break;
      this.#shapes.delete(oldest);
    }
    return shape;
  }

  /**
   * What the segmenter made of an object's prompts, as far as that is known.
   * @param {Prompt} object
   * @returns {Rle | null}
   */
  #under(object) {
    if (!object.box && !object.points.length && !object.start) return null;
    return this.#segmented.get(object) ?? this.#latest.get(object.id) ?? null;
  }
}
