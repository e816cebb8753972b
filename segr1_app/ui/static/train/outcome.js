import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { counted, figure } from "../shared/formatting.js";

/**
 * @typedef {NonNullable<import("../shared/contracts.js").TrainingReport["before"]>} Groups
 * @typedef {import("../shared/contracts.js").TrainingChange} Change
 * @typedef {Change & {gain: number}} KnownChange
 */

/** Held-out rows below which a table warns of itself. */
const ENOUGH = 30;
/** The number of pictures shown before "Show all". */
const FIRST = 24;
const GROUPS = { pairs: "Original pairs", feedback: "Corrections" };
const SCORES = /** @type {const} */ ({ reward: "Reward", s_measure: "S-measure", iou: "IoU", format_rate: "Format rate" });

/**
 * Held-out scores before and after, as far as they are known.
 * @param {Groups | null} before
 * @param {Groups | null} after
 */
export function scoreTable(before, after) {
  if (!before) return [];
  const rows = Object.entries(GROUPS).flatMap(([group, name]) => {
    const old = before[group];
    const now = after?.[group] ?? null;
    if (!old) return [];
    return [h("tr", {}, h("th", { scope: "row" }, `${name} (${old.count})`),
      ...keys().map((score) => h("td", {}, figure(old[score], 3), ...(now ? changed(old[score], now[score]) : []),
        ...interval((now ?? old).intervals?.[score]))))];
  });
  const head = h("tr", {}, h("th", { scope: "col" }, "Held out"),
    ...keys().map((score) => h("th", { scope: "col" }, SCORES[score])));
  const table = h("table", { class: "train-table" }, h("thead", {}, head), h("tbody", {}, ...rows));
  const few = Object.keys(GROUPS).some((group) => before[group] && before[group].count < ENOUGH);
  return few ? [table, h("p", { class: "train-note" }, `Fewer than ${ENOUGH} rows are held out: a change that is smaller `
    + "than its interval (95 %, in brackets) is not significant.")] : [table];
}

/**
 * Whether every known held-out score fell: such a model is not offered as the next step.
 * @param {import("../shared/contracts.js").TrainingReport} run
 */
export function gotWorse({ before, after, objects }) {
  const changes = [
    ...Object.keys(GROUPS).flatMap((group) => {
      const [old, now] = [before?.[group], after?.[group]];
      return old && now ? [(now.reward ?? 0) - (old.reward ?? 0)] : [];
    }),
    ...Object.values(objects ?? {}).map(({ iou }) => iou[1] - iou[0]),
  ];
  return changes.length > 0 && changes.every((change) => change < 0);
}

/**
 * Scores of a segmenter on held-out objects, before and after.
 * @param {import("../shared/contracts.js").TrainingReport["objects"]} objects by data set
 */
export function objectTable(objects) {
  if (!objects || !Object.keys(objects).length) return [];
  const rows = Object.entries(objects).map(([source, { objects: count, iou, clicks, interval: ends }]) => h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, GROUPS[/** @type {"feedback"} */ (source)] ?? source), ` (${count})`),
    h("td", {}, figure(iou[0], 3), ...changed(iou[0], iou[1])),
    h("td", {}, ...(ends ? [`${signed(ends[0], 3)} to ${signed(ends[1], 3)}`] : ["–"])),
    h("td", {}, figure(clicks[0], 1), " → ", h("strong", { class: tone(clicks[0] - clicks[1]) }, figure(clicks[1], 1)))));
  const head = ["Held-out objects", "IoU from a box and a point", "Change, 95 % interval", "Clicks to IoU .9"];
  return [h("table", { class: "train-table" },
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...rows))];
}

/** @param {[number, number] | undefined} ends of a 95 % interval */
function interval(ends) {
  return ends ? [h("small", {}, ` [${figure(ends[0], 2)}, ${figure(ends[1], 2)}]`)] : [];
}

/** @returns {(keyof typeof SCORES)[]} */
function keys() {
  return /** @type {(keyof typeof SCORES)[]} */ (Object.keys(SCORES));
}

/**
 * @param {number | null} old
 * @param {number | null} now
 */
function changed(old, now) {
  if (old === null || now === null) return [];
  return [" → ", h("strong", { class: tone(now - old) }, figure(now, 3))];
}

/**
 * Every held-out picture under the old and the new policy: those with a known mask, then the others.
 * @param {Change[]} changes the largest losses first
 */
export function changeList(changes) {
  const known = /** @type {KnownChange[]} */ (changes.filter(({ gain }) => gain !== null));
  const unknown = changes.filter(({ gain }) => gain === null);
  const worse = known.filter(({ gain }) => gain < -0.005).length;
  const better = known.filter(({ gain }) => gain > 0.005).length;
  const list = [
    h("h2", {}, "Before and after"),
    h("p", { class: "train-note" }, `${counted(known.length, "held-out picture")}, the worst change first: ${worse} `
      + `worse, ${better} better, ${known.length - worse - better} as before.`),
    ...shortened(known.map((change) => item(change,
      h("strong", { class: tone(change.gain) }, signed(change.gain)), " IoU"))),
  ];
  if (!unknown.length) return list;
  return [...list,
    h("h2", {}, "Before and after without a ground-truth mask"),
    h("p", { class: "train-note" }, `${counted(unknown.length, "picture")}, such as real photographs, without `
      + "ground truth: judge for yourself. The IoU is that of the two masks; the largest changes come first."),
    ...shortened(unknown.map((change) => item(change,
      "IoU of both masks ", h("strong", {}, figure(change.old_new_iou, 2))))),
  ];
}

/**
 * A list of the first items, and a button that shows the others, too.
 * @param {HTMLElement[]} items
 */
function shortened(items) {
  const list = h("ul", {}, ...items.slice(0, FIRST));
  if (items.length <= FIRST) return [list];
  const more = button(`Show all ${items.length}`, "show-all", () => {
    list.append(...items.slice(FIRST));
    more.remove();
  });
  return [list, more];
}

/**
 * @param {Change} change
 * @param {...(string | Node)} said what it comes to
 */
function item(change, ...said) {
  return h("li", {}, picture(change.old, "Before", change.old_iou), picture(change.new, "After", change.new_iou),
    h("p", {}, ...said, " · ", h("bdi", {}, change.source), " · ", h("bdi", {}, change.instruction)));
}

/**
 * @param {string} address
 * @param {string} name
 * @param {number | null} iou
 */
function picture(address, name, iou) {
  const said = iou === null ? name : `${name}, IoU ${figure(iou, 2)}`;
  return h("figure", {}, h("img", { src: address, alt: `Mask ${said}`, loading: "lazy" }), h("figcaption", {}, said));
}

/** @param {number} gain */
function tone(gain) {
  return gain < -0.005 ? "is-worse" : gain > 0.005 ? "is-better" : "";
}

/**
 * @param {number} value
 * @param {number} [digits]
 */
function signed(value, digits = 2) {
  const least = 0.5 / 10 ** digits;
  const sign = value < -least ? "−" : value > least ? "+" : "±";
  return `${sign}${figure(Math.abs(value), digits)}`;
}
