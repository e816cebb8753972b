/**
 * The position of the picture on the screen, and the mapping between the two.
 * @typedef {import("./types.js").View} View
 * @typedef {import("./types.js").Size} Size
 * @typedef {import("./types.js").Place} Place
 */

const LARGEST = 32; // screen pixels per picture pixel
const FILLED = 0.8; // share of the canvas that a box fills at most, in either direction
const IN_SIGHT = 48; // screen pixels of the picture that panning leaves within the canvas

/**
 * The whole picture, centred, as large as fits into the canvas.
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
export function fit(picture, canvas) {
  return centred(Math.min(canvas[0] / picture[0], canvas[1] / picture[1]), picture, canvas);
}

/**
 * A part of the picture in the middle, as large as fits into the canvas with a margin.
 * @param {import("./types.js").Box} box
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
export function fitBox([left, top, right, bottom], picture, canvas) {
  const filling = FILLED * Math.min(canvas[0] / (right - left), canvas[1] / (bottom - top));
  const scale = Math.min(filling, Math.max(LARGEST, fit(picture, canvas).scale));
  const [x, y] = [(canvas[0] - scale * (left + right)) / 2, (canvas[1] - scale * (top + bottom)) / 2];
  return held({ scale, x, y }, picture, canvas);
}

/**
 * One picture pixel per screen pixel, around the same centre.
 * @param {View} view
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
export function oneToOne(view, picture, canvas) {
  return zoom(view, 1 / view.scale, [canvas[0] / 2, canvas[1] / 2], picture, canvas);
}

/**
 * Zoom so that the picture's point under the pointer stays there.
 * @param {View} view
 * @param {number} factor
 * @param {Place} pointer on the canvas
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
export function zoom(view, factor, pointer, picture, canvas) {
  const whole = fit(picture, canvas).scale;
  // A picture can be shrunk to half of what fits, and never to less than its own size.
  const scale = Math.min(Math.max(view.scale * factor, Math.min(whole / 2, 1)), Math.max(LARGEST, whole));
  const [x, y] = toPicture(view, pointer);
  return held({ scale, x: pointer[0] - x * scale, y: pointer[1] - y * scale }, picture, canvas);
}

/**
 * @param {View} view
 * @param {Place} by on the canvas
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
export function pan(view, by, picture, canvas) {
  return held({ ...view, x: view.x + by[0], y: view.y + by[1] }, picture, canvas);
}

/**
 * @param {View} view
 * @param {Place} place on the canvas
 * @returns {Place} in the picture
 */
export function toPicture(view, [x, y]) {
  return [(x - view.x) / view.scale, (y - view.y) / view.scale];
}

/**
 * @param {View} view
 * @param {Place} place on the canvas
 * @returns {Place} as a stroke keeps it: it may lie outside the picture, and has two decimals
 */
export function toStroke(view, place) {
  const [x, y] = toPicture(view, place);
  return [Math.round(100 * x) / 100, Math.round(100 * y) / 100];
}

/**
 * @param {View} view
 * @param {Place} place in the picture
 * @returns {Place} on the canvas
 */
export function toCanvas(view, [x, y]) {
  return [x * view.scale + view.x, y * view.scale + view.y];
}

/**
 * @param {number} scale
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
function centred(scale, picture, canvas) {
  return { scale, x: (canvas[0] - picture[0] * scale) / 2, y: (canvas[1] - picture[1] * scale) / 2 };
}

/**
 * The view, clamped so that the picture cannot get out of sight.
 * @param {View} view
 * @param {Size} picture
 * @param {Size} canvas
 * @returns {View}
 */
function held({ scale, x, y }, picture, canvas) {
  if (picture[0] * scale < canvas[0] && picture[1] * scale < canvas[1]) return centred(scale, picture, canvas);
  const within = (/** @type {number} */ at, /** @type {0 | 1} */ axis) =>
    Math.min(Math.max(at, IN_SIGHT - picture[axis] * scale), canvas[axis] - IN_SIGHT);
  return { scale, x: within(x, 0), y: within(y, 1) };
}
