import { svg } from "../shared/dom.js";
import { toCanvas } from "./viewport.js";

/**
 * Areas drawn with the lasso: freehand by dragging, or as a polygon, corner by corner.
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").View} View
 */

export const LEAST_CORNERS = 3;
const REACH = 7; // screen pixels from a corner in which a press holds it
const FINGER_REACH = 22;

/**
 * A path without the places that it passes within a tolerance anyway, by Douglas and Peucker; both ends stay.
 * @param {Place[]} path
 * @param {number} tolerance in the path's pixels
 * @returns {Place[]}
 */
export function simplified(path, tolerance) {
  const kept = new Set([0, path.length - 1]);
  const open = [[0, path.length - 1]];
  for (let span = open.pop(); span; span = open.pop()) {
    const [from, to] = span;
    let [farthest, most] = [-1, tolerance];
    for (let at = from + 1; at < to; at++) {
      const away = distance(path[at], path[from], path[to]);
      if (away > most) [farthest, most] = [at, away];
    }
    if (farthest < 0) continue;
    kept.add(farthest);
    open.push([from, farthest], [farthest, to]);
  }
  return path.filter((_, at) => kept.has(at));
}

/**
 * From a place to the line between two others.
 * @param {Place} place
 * @param {Place} a
 * @param {Place} b
 */
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/**
 * The corner of a polygon under the pointer, the nearest one; -1 where there is none.
 * @param {Place[]} polygon
 * @param {View} view
 * @param {Place} pointer on the canvas
 * @param {boolean} finger
 */
export function cornerAt(polygon, view, pointer, finger) {
  let best = -1;
  let least = finger ? FINGER_REACH : REACH;
  polygon.forEach((corner, index) => {
    const [x, y] = toCanvas(view, corner);
    const away = Math.hypot(x - pointer[0], y - pointer[1]);
    if (away <= least) [best, least] = [index, away];
  });
  return best;
}

/**
 * An open polygon as SVG elements in screen pixels, with a line to the pointer; the corner that closes it is larger.
 * @param {Place[]} polygon
 * @param {View} view
 * @param {Place | null} pointer on the canvas
 * @param {string} casing
 * @returns {SVGElement[]}
 */
export function polygonMarks(polygon, view, pointer, casing) {
  const places = polygon.map((corner) => toCanvas(view, corner));
  const line = (pointer ? [...places, pointer] : places).map((place) => place.join()).join(" ");
  const corners = places.map(([x, y], index) => svg("circle", {
    cx: x, cy: y, r: index ? 4 : 6, fill: "#ffffff", stroke: casing, "stroke-width": 2, "data-mark": "corner" }));
  return [
    svg("polyline", { points: line, fill: "none", stroke: casing, "stroke-width": 4 }),
    svg("polyline", { points: line, fill: "none", stroke: "#ffffff", "stroke-width": 2, "stroke-dasharray": "7 5" }),
    ...corners,
  ];
}
