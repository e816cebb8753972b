import { activeObject, isBlank } from "./prompts.js";

/**
 * The contents of a canvas in words, for screen readers.
 * @typedef {import("./types.js").Prompts} Prompts
 */

/**
 * @param {Prompts} prompts
 * @param {string} title of the picture
 */
export function describePrompts({ objects }, title) {
  const some = objects.filter((object) => !isBlank(object));
  if (!some.length) return title;
  const points = some.flatMap((object) => object.points);
  const positive = points.filter((point) => point.label === 1).length;
  const boxes = some.filter(({ box }) => box).length;
  return `${title}, with ${some.length} ${some.length === 1 ? "object" : "objects"}: ` +
    `${boxes} ${boxes === 1 ? "box" : "boxes"}, ${positive} positive and ${points.length - positive} negative points.`;
}

/**
 * The selection: what Delete, F and the arrows act on.
 * @param {Prompts} prompts
 */
export function describeSelection(prompts) {
  const { box, points } = activeObject(prompts);
  const { mark } = prompts;
  if (mark?.kind === "box" && box) {
    const [left, top, right, bottom] = box.map(Math.round);
    return `Box from ${left}, ${top} to ${right}, ${bottom}`;
  }
  if (mark?.kind !== "point") return box || points.length ? "" : "This object has no point and no box yet.";
  const { x, y, label } = points[mark.index];
  const kind = label === 1 ? "Positive" : "Negative";
  return `${kind} point ${mark.index + 1} of ${points.length}, at ${Math.round(x)}, ${Math.round(y)}`;
}
