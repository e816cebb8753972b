import { LEAST_CORNERS, cornerAt, simplified } from "./lasso.js";
import * as edit from "./prompts.js";
import { toStroke } from "./viewport.js";

/** @typedef {import("./types.js").Place} Place */

const TOLERANCE = 0.7; // screen pixels by which a freehand outline may be simplified

/**
 * The effect of the lasso's gestures on a canvas: a drag is a freehand outline, clicks are the corners of a polygon.
 * @param {import("./view.js").Canvas} canvas
 * @param {(prompts: import("./types.js").Prompts, done: boolean, asks: boolean) => void} pass shows an edit, or makes it
 * @returns {{actions: Pick<import("./gestures.js").GestureActions, "corner" | "lasso">, cancel: () => void}}
 */
export function lassoActions(canvas, pass) {
  /** The open polygon as it was before a drag changed it. @type {Place[] | null} */
  let before = null;
  return {
    cancel: () => {
      if (before) canvas.open(before);
      before = null;
    },
    actions: {
      corner: (at, finger) => {
        const { polygon, view } = canvas;
        const held = cornerAt(polygon, view, at, finger);
        // The first corner closes it, and so does the last one, as when it is clicked twice.
        if (held < 0) canvas.open([...polygon, toStroke(view, at)]);
        else if (held === 0 || held === polygon.length - 1) canvas.close();
      },
      lasso: (path, finger, done) => {
        const places = path.map((place) => toStroke(canvas.view, place));
        const drawn = simplified(places, TOLERANCE / canvas.view.scale);
        if (!canvas.polygon.length) {
          const area = { erase: canvas.tool === "cut", radius: null, path: drawn };
          const enclosed = drawn.length >= LEAST_CORNERS;
          return pass(enclosed ? edit.addStroke(canvas.prompts, area) : canvas.prompts, done, false);
        }
        before ??= canvas.polygon;
        const held = cornerAt(before, canvas.view, path[0], finger);
        // A drag moves the corner under it, or continues the polygon freehand.
        const moved = before.map((corner, index) => (index === held ? places[places.length - 1] : corner));
        canvas.open(held < 0 ? [...before, ...drawn] : moved);
        if (done) before = null;
      },
    },
  };
}
