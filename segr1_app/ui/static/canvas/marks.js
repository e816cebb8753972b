import { svg } from "../shared/dom.js";
import { toCanvas } from "./viewport.js";

/**
 * @typedef {import("./types.js").Prompts} Prompts
 * @typedef {import("./types.js").View} View
 */

/**
 * Boxes and points as SVG elements in screen pixels: they keep their size at any zoom. Those of the active object are
 * drawn last and stronger; the one that Delete would remove has a ring.
 * @param {Prompts} prompts
 * @param {View} view
 * @param {(index: number) => string} colour
 * @param {string} casing
 * @returns {SVGElement[]}
 */
export function marksOf(prompts, view, colour, casing) {
  const order = prompts.objects.map((_, index) => index).filter((index) => index !== prompts.active);
  if (prompts.objects[prompts.active]) order.push(prompts.active);
  return order.flatMap((index) => objectMarks(prompts, index, view, colour(index), casing));
}

/**
 * @param {Prompts} prompts
 * @param {number} index
 * @param {View} view
 * @param {string} colour
 * @param {string} casing
 */
function objectMarks({ objects, active, mark }, index, view, colour, casing) {
  const { box, points } = objects[index];
  const chosen = index === active ? mark : null;
  const marks = [];
  if (box) {
    const [x, y] = toCanvas(view, [box[0], box[1]]);
    const [right, bottom] = toCanvas(view, [box[2], box[3]]);
    const place = { x, y, width: right - x, height: bottom - y, fill: "none", rx: 2 };
    marks.push(svg("rect", { ...place, stroke: casing, "stroke-width": 5, "stroke-opacity": 0.75 }));
    if (chosen?.kind === "box") marks.push(svg("rect", { ...place, stroke: "#ffffff", "stroke-width": 4 }));
    const dashes = index === active ? "none" : "7 5";
    const line = { stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dashes };
    marks.push(svg("rect", { ...place, ...line, "data-mark": "box" }));
    if (index === active)
      for (const cx of [x, right]) for (const cy of [y, bottom]) marks.push(handle(cx, cy, colour, casing));
  }
  points.forEach((point, at) => {
    const [x, y] = toCanvas(view, [point.x, point.y]);
    marks.push(pointMark(x, y, point.label, colour, casing, chosen?.kind === "point" && chosen.index === at));
  });
  return marks;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 * @param {string} casing
 */
function handle(x, y, colour, casing) {
  return svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8, rx: 2, fill: "#ffffff", stroke: casing,
    "stroke-width": 1, style: `outline: 2px solid ${colour}; outline-offset: -3px` });
}

/**
 * @param {number} x
 * @param {number} y
 * @param {0 | 1} label
 * @param {string} colour
 * @param {string} casing
 * @param {boolean} chosen
 */
function pointMark(x, y, label, colour, casing, chosen) {
  const ring = chosen ? [svg("circle", { r: 13.5, fill: "none", stroke: casing, "stroke-width": 4 }),
    svg("circle", { r: 13.5, fill: "none", stroke: "#ffffff", "stroke-width": 2 })] : [];
  return svg(
    "g",
    { transform: `translate(${x} ${y})`, "data-mark": label === 1 ? "positive" : "negative" },
    ...ring,
    svg("circle", { r: 10.5, fill: casing, "fill-opacity": 0.75 }),
    svg("circle", { r: 9, fill: label === 1 ? "#ffffff" : colour }),
    svg("circle", { r: 7, fill: label === 1 ? colour : casing }),
    svg("path", {
      d: label === 1 ? "M-4 0H4M0-4V4" : "M-4 0H4",
      stroke: "#ffffff",
      "stroke-width": 2,
      "stroke-linecap": "round",
    }),
  );
}
