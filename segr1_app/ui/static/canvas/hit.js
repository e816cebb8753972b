/**
 * Hit testing: what lies under the pointer.
 * @typedef {import("./types.js").Prompts} Prompts
 * @typedef {import("./types.js").View} View
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Grip} Grip
 */

import { toCanvas } from "./viewport.js";

const POINT_REACH = 11; // screen pixels: the mark's own radius
const EDGE_REACH = 6;
const CORNER_REACH = 11; // a corner is as easily held as a point
const CORNERS = { "0,1": "nwse", "2,3": "nwse", "1,2": "nesw", "0,3": "nesw" };

/**
 * The part of a mark to grab: a point of the active object before its box, and both before the other objects'
 * points. Their boxes are ignored: an edge is long, and a click near it is mostly meant for the active object.
 * @param {Prompts} prompts
 * @param {View} view
 * @param {Place} pointer on the canvas
 * @param {number} [ease] factor by which a finger reaches further than a mouse
 * @returns {Grip | null}
 */
export function gripAt(prompts, view, pointer, ease = 1) {
  const { active, objects } = prompts;
  const point = pointAt(prompts, active, view, pointer, ease * POINT_REACH);
  if (point) return point;
  const { box } = objects[active];
  const edges = box ? edgesAt(box, view, pointer, ease) : [];
  if (edges.length) return { object: active, mark: { kind: "box" }, edges };
  for (let index = objects.length - 1; index >= 0; index--) {
    const other = index === active ? null : pointAt(prompts, index, view, pointer, ease * POINT_REACH);
    if (other) return other;
  }
  return null;
}

/**
 * The nearest point of an object within reach; of equally near ones the last, which is drawn on top.
 * @param {Prompts} prompts
 * @param {number} object
 * @param {View} view
 * @param {Place} pointer
 * @param {number} reach
 * @returns {Grip | null}
 */
function pointAt({ objects }, object, view, pointer, reach) {
  let best = -1;
  let least = reach;
  objects[object].points.forEach(({ x, y }, index) => {
    const [sx, sy] = toCanvas(view, [x, y]);
    const distance = Math.hypot(sx - pointer[0], sy - pointer[1]);
    if (distance <= least) [best, least] = [index, distance];
  });
  return best < 0 ? null : { object, mark: { kind: "point", index: best } };
}

/**
 * The cursor that tells what a press would grab.
 * @param {Grip | null} grip
 */
export function cursorOf(grip) {
  if (!grip) return "";
  if (grip.mark.kind === "point") return "move";
  const { edges } = /** @type {{edges: number[]}} */ (grip);
  const corner = CORNERS[/** @type {keyof typeof CORNERS} */ ([...edges].sort().join())];
  return `${corner ?? (edges[0] % 2 ? "ns" : "ew")}-resize`;
}

/**
 * The edges of a box within reach; two of them at a corner.
 * @param {import("./types.js").Box} box
 * @param {View} view
 * @param {Place} pointer
 * @param {number} ease
 * @returns {number[]}
 */
function edgesAt(box, view, pointer, ease) {
  const [reach, far] = [ease * EDGE_REACH, ease * CORNER_REACH];
  const [left, top] = toCanvas(view, [box[0], box[1]]);
  const [right, bottom] = toCanvas(view, [box[2], box[3]]);
  const [x, y] = pointer;
  if (x < left - far || x > right + far || y < top - far || y > bottom + far) return [];
  // In a box narrower than the reach the nearer of two opposite edges moves.
  const nearer = (/** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ at) =>
    Math.abs(at - low) <= Math.abs(at - high) ? [low, 0] : [high, 2];
  const [vertical, side] = nearer(left, right, x);
  const [horizontal, end] = nearer(top, bottom, y);
  const [across, down] = [Math.abs(x - vertical), Math.abs(y - horizontal)];
  if (across <= far && down <= far) return [side, end + 1];
  if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) return [];
  if (across <= reach) return [side];
  return down <= reach ? [end + 1] : [];
}
