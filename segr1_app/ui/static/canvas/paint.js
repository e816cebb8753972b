import { maskAt } from "../shared/rle.js";

/**
 * Strokes on a mask. A mask here is a Uint8Array, 1 inside and 0 outside, row by row, in its own size, which may be smaller
 * than the picture's.
 * @typedef {import("./types.js").Stroke} Stroke
 * @typedef {import("./types.js").Size} Size
 */

/**
 * A mask with strokes and areas painted on it and erased from it, in order; the given mask is not changed.
 * @param {Uint8Array} mask
 * @param {Size} size of the mask
 * @param {Stroke[]} strokes in picture pixels
 * @param {Size} picture
 * @returns {Uint8Array}
 */
export function painted(mask, size, strokes, picture) {
  if (!strokes.length) return mask;
  const result = mask.slice();
  for (const { erase, radius, path } of strokes)
    if (radius === null) fill(result, size, path, +!erase, picture);
    else path.forEach((place, index) =>
      capsule(result, size, path[Math.max(0, index - 1)], place, radius, +!erase, picture));
  return result;
}

/**
 * A mask with layers applied to it; the given mask is not changed.
 * @param {Uint8Array} mask
 * @param {Size} size of the mask
 * @param {{painted: import("./types.js").Rle | null, erased: import("./types.js").Rle | null}} layers of any size
 * @returns {Uint8Array}
 */
export function withLayers(mask, size, { painted, erased }) {
  const over = [[erased, 0], [painted, 1]].filter(([rle]) => rle);
  if (!over.length) return mask;
  const result = mask.slice();
  for (const [rle, value] of /** @type {[import("./types.js").Rle, number][]} */ (over))
    maskAt(rle, ...size).forEach((inside, index) => inside && (result[index] = value));
  return result;
}

/**
 * A path without the positions that add next to nothing to a stroke; the last one stays.
 * @param {import("./types.js").Place[]} path
 * @param {number} radius of the stroke
 * @returns {import("./types.js").Place[]}
 */
export function thinned(path, radius) {
  /** @type {import("./types.js").Place[]} */
  const kept = [];
  path.forEach((place, index) => {
    const [x, y] = kept.at(-1) ?? [Infinity, Infinity];
    if (index === path.length - 1 || Math.hypot(place[0] - x, place[1] - y) > radius / 8) kept.push(place);
  });
  return kept;
}

/**
 * Fill every pixel whose centre is within `radius` of the line between two positions of the picture.
 * @param {Uint8Array} mask
 * @param {Size} size
 * @param {import("./types.js").Place} from
 * @param {import("./types.js").Place} to
 * @param {number} radius
 * @param {number} value
 * @param {Size} picture
 */
function capsule(mask, [width, height], [ax, ay], [bx, by], radius, value, picture) {
  const sx = picture[0] / width;
  const sy = picture[1] / height;
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const first = (/** @type {number} */ at, /** @type {number} */ scale) =>
    Math.max(0, Math.floor((at - radius) / scale));
  const last = (/** @type {number} */ at, /** @type {number} */ scale, /** @type {number} */ limit) =>
    Math.min(limit - 1, Math.ceil((at + radius) / scale));
  const bottom = last(Math.max(ay, by), sy, height);
  const right = last(Math.max(ax, bx), sx, width);
  for (let row = first(Math.min(ay, by), sy); row <= bottom; row++) {
    const y = (row + 0.5) * sy;
    for (let column = first(Math.min(ax, bx), sx); column <= right; column++) {
      const x = (column + 0.5) * sx;
      const along = length ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
      const [ex, ey] = [x - ax - along * dx, y - ay - along * dy];
      if (ex * ex + ey * ey <= radius * radius) mask[row * width + column] = value;
    }
  }
}

/**
 * Fill every pixel whose centre a closed path winds around. An edge changes the winding number from the first pixel to
 * the right of where it crosses a row.
 * @param {Uint8Array} mask
 * @param {Size} size
 * @param {import("./types.js").Place[]} path
 * @param {number} value
 * @param {Size} picture
 */
function fill(mask, [width, height], path, value, picture) {
  const sx = picture[0] / width;
  const sy = picture[1] / height;
  const firstAfter = (/** @type {number} */ at, /** @type {number} */ scale, /** @type {number} */ limit) =>
    Math.min(limit, Math.max(0, Math.ceil(at / scale - 0.5)));
  const rows = path.map(([, y]) => firstAfter(y, sy, height));
  const top = Math.min(...rows);
  const turns = new Int32Array((Math.max(...rows) - top) * (width + 1));
  path.forEach(([ax, ay], index) => {
    const next = (index + 1) % path.length;
    const [bx, by] = path[next];
    for (let row = Math.min(rows[index], rows[next]); row < Math.max(rows[index], rows[next]); row++) {
      const crossing = ax + (((row + 0.5) * sy - ay) * (bx - ax)) / (by - ay);
      turns[(row - top) * (width + 1) + firstAfter(crossing, sx, width)] += by > ay ? 1 : -1;
    }
  });
  for (let start = 0, row = top; start < turns.length; start += width + 1, row++)
    for (let column = 0, winding = 0; column < width; column++) {
      winding += turns[start + column];
      if (winding) mask[row * width + column] = value;
    }
}
