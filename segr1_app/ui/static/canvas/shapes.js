import { outlines } from "./outline.js";

/**
 * @typedef {import("./types.js").Size} Size
 */

/**
 * The outlines of a mask as one path, in mask pixels.
 * @param {Uint8Array} mask 1 inside and 0 outside, row by row
 * @param {Size} size of the mask
 */
export function pathOf(mask, size) {
  const path = new Path2D();
  for (const loop of outlines(mask, size)) {
    path.moveTo(loop[0], loop[1]);
    for (let at = 2; at < loop.length; at += 2) path.lineTo(loop[at], loop[at + 1]);
    path.closePath();
  }
  return path;
}

/**
 * From mask pixels to those of a sheet that covers the view.
 * @param {import("./types.js").View} view
 * @param {Size} picture
 * @param {Size} mask its size
 */
export function onScreen({ scale, x, y }, picture, mask) {
  const ratio = devicePixelRatio;
  const [sx, sy] = [(scale * picture[0]) / mask[0], (scale * picture[1]) / mask[1]];
  return new DOMMatrix([sx * ratio, 0, 0, sy * ratio, x * ratio, y * ratio]);
}

/**
 * Draw the inside of a shape.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path in mask pixels
 * @param {DOMMatrix} place see onScreen
 * @param {string} colour
 * @param {number} opacity
 * @returns {Path2D} the shape in sheet pixels
 */
export function fillShape(context, path, place, colour, opacity) {
  const shape = new Path2D();
  shape.addPath(path, place);
  context.globalAlpha = opacity;
  context.fillStyle = colour;
  context.fill(shape, "evenodd");
  context.globalAlpha = 1;
  return shape;
}

/**
 * Draw a dashed outline, which no object has.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path in mask pixels
 * @param {DOMMatrix} place see onScreen
 * @param {string} casing
 */
export function drawDashes(context, path, place, casing) {
  const shape = new Path2D();
  shape.addPath(path, place);
  const dashes = [9, 6].map((length) => length * devicePixelRatio);
  for (const [stroke, line, dash] of /** @type {[string, number, number[]][]} */ ([[casing, 4, []], ["#ffffff", 2, dashes]])) {
    context.setLineDash(dash);
    context.strokeStyle = stroke;
    context.lineWidth = line * devicePixelRatio;
    context.stroke(shape);
  }
  context.setLineDash([]);
}

/**
 * Draw a shape: an outline that is visible on any picture, and its inside.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path in mask pixels
 * @param {DOMMatrix} place see onScreen
 * @param {string} colour
 * @param {string} casing
 * @param {number} opacity of the inside; 0 for the outline only
 */
export function drawShape(context, path, place, colour, casing, opacity) {
  const shape = fillShape(context, path, place, colour, opacity);
  context.lineJoin = "round";
  // A dark edge around a white one around the colour: visible on grey, bright and dark pictures alike.
  for (const [stroke, line] of /** @type {[string, number][]} */ ([[casing, 5], ["#ffffff", 3.4], [colour, 2]])) {
    context.strokeStyle = stroke;
    context.lineWidth = line * devicePixelRatio;
    context.stroke(shape);
  }
}
