import { h, svg } from "../shared/dom.js";
import { figure } from "../shared/formatting.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 220, 44, 24, 10];
/** The most steps on each side that the moving average covers. */
const REACH = 4;

/**
 * The mean reward or the loss of every step so far with its moving average, and the reward of held-out answers.
 * @param {import("../shared/contracts.js").TrainingReport} run
 */
export function courseChart({ learns, curve, steps, validation }) {
  const what = learns === "policy" ? "Mean reward" : "Loss";
  const title = h("figcaption", {}, `${what} of a step`,
    ...(validation.length ? [", and ", h("span", { class: "chart-held-out" }, "of held-out pictures")] : []));
  if (!curve.length) return h("figure", {}, title, h("p", { class: "train-waiting" }, "No steps yet."));
  const values = curve.map(([, value]) => value);
  const all = [...values, ...validation.map(([, value]) => value)];
  const [low, high] = spread(Math.min(...all), Math.max(...all));
  const last = Math.max(steps, curve[curve.length - 1][0]);
  const x = (/** @type {number} */ step) => LEFT + ((WIDTH - LEFT - 8) * (step - 1)) / Math.max(1, last - 1);
  const y = (/** @type {number} */ value) => TOP + ((HEIGHT - BOTTOM - TOP) * (high - value)) / (high - low);
  const average = smoothed(values);
  const line = curve.map(([step], at) => `${x(step).toFixed(1)},${y(average[at]).toFixed(1)}`).join(" ");
  const spoken = `${what}: ${figure(values[0], 2)} at step ${curve[0][0]}, ${figure(values[values.length - 1], 2)} at `
    + `step ${curve[curve.length - 1][0]}${spokenValidation(validation)}`;
  const heldOut = validation.map(([step, value]) => `${x(Math.max(step, 1)).toFixed(1)},${y(value).toFixed(1)}`);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": spoken },
    ...[low, (low + high) / 2, high].flatMap((value) => [
      svg("line", { class: "chart-grid", x1: LEFT, x2: WIDTH - 8, y1: y(value), y2: y(value) }),
      label(figure(value, 2), LEFT - 6, y(value) + 4, "end"),
    ]),
    label("step 1", LEFT, HEIGHT - 6, "start"),
    label(`${last}`, WIDTH - 8, HEIGHT - 6, "end"),
    ...curve.map(([step, value]) => svg("circle", { class: "chart-dot", cx: x(step), cy: y(value), r: 2 })),
    svg("polyline", { class: "chart-line", points: line }),
    ...(heldOut.length ? [svg("polyline", { class: "chart-validation", points: heldOut.join(" ") })] : []),
  );
  return h("figure", {}, title, drawing);
}

/**
* The description of held-out pictures for those who do not see the chart.
 * @param {[number, number][]} validation
 */
function spokenValidation(validation) {
  if (!validation.length) return "";
  const [first, last] = [validation[0], validation[validation.length - 1]];
  return `; of held-out pictures ${figure(first[1], 2)} at step ${first[0]}, ${figure(last[1], 2)} at step ${last[0]}`;
}

/**
 * Values, each averaged with its neighbours.
 * @param {number[]} values
 */
export function smoothed(values) {
  return values.map((_, at) => {
    const reach = Math.min(REACH, at, values.length - 1 - at);
    const near = values.slice(at - reach, at + reach + 1);
    return near.reduce((sum, value) => sum + value, 0) / near.length;
  });
}

/**
 * The ends of an axis that covers two values with some margin.
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]}
 */
export function spread(low, high) {
  const room = Math.max((high - low) * 0.1, 0.02);
  return [low - room, high + room];
}

/**
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {string} anchor
 */
function label(text, x, y, anchor) {
  const made = svg("text", { class: "chart-label", x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
