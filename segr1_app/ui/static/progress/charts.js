import { h } from "../shared/dom.js";
import { VERDICTS } from "../shared/formatting.js";

/**
 * @typedef {import("./figures.js").Tally} Tally
 * @typedef {{value: number, kind: string}} Part of a bar; its kind is a verdict, or "plain"
 */

const ORDER = /** @type {import("../shared/formatting.js").Verdict[]} */ (["accept", "fix", "reject", "skip"]);

/**
 * Bars side by side, one for each day.
 * @param {string} title
 * @param {{day: string, tally: Tally | null}[]} days
 * @param {(tally: Tally) => Part[]} parts of a day's bar
 * @param {(value: number) => string} said
 * @returns {HTMLElement}
 */
export function dayChart(title, days, parts, said) {
  const bars = days.map(({ day, tally }) => ({ day, parts: tally ? parts(tally) : [] }));
  const heights = bars.map((bar) => total(bar.parts));
  const top = Math.max(0, ...heights);
  const plot = h("div", { class: "chart-plot", role: "img", "aria-label": spoken(title, bars, said) },
    ...bars.map((bar, index) => {
      const column = h("div", { class: "chart-day", title: `${date(bar.day)}: ${bar.parts.length ? said(heights[index]) : "–"}` });
      for (const part of bar.parts) {
        const block = h("span", { class: `chart-part is-${part.kind}` });
        block.style.height = `${top ? (100 * part.value) / top : 0}%`;
        column.append(block);
      }
      return column;
    }));
  const ends = bars.length ? [date(bars[0].day), date(bars[bars.length - 1].day)] : ["", ""];
  return h("figure", { class: "chart" },
    h("figcaption", {}, title, h("span", { class: "chart-top" }, top ? `up to ${said(top)}` : "")),
    plot,
    h("p", { class: "chart-ends", "aria-hidden": "true" }, h("span", {}, ends[0]), h("span", {}, ends[1])));
}

/**
 * The verdicts as one bar, with their numbers.
 * @param {Record<import("../shared/formatting.js").Verdict, number>} verdicts
 * @returns {HTMLElement}
 */
export function verdictBar(verdicts) {
  const text = ORDER.map((verdict) => `${VERDICTS[verdict]} ${verdicts[verdict]}`).join(", ");
  const bar = h("div", { class: "verdict-bar", role: "img", "aria-label": text, title: text });
  for (const verdict of ORDER) {
    if (!verdicts[verdict]) continue;
    const part = h("span", { class: `is-${verdict}` });
    part.style.flexGrow = String(verdicts[verdict]);
    bar.append(part);
  }
  return bar;
}

/** Which colour is which verdict. */
export function verdictLegend() {
  return h("p", { class: "verdict-legend" },
    ...ORDER.map((verdict) => h("span", { class: `verdict is-${verdict}` }, VERDICTS[verdict])));
}

/**
 * The parts of a day's bar of decisions.
 * @param {Tally} tally
 * @returns {Part[]}
 */
export function verdictParts({ verdicts }) {
  return ORDER.filter((verdict) => verdict !== "skip").map((kind) => ({ kind, value: verdicts[kind] }));
}

/** @param {Part[]} parts */
function total(parts) {
  return parts.reduce((sum, { value }) => sum + value, 0);
}

/** @param {string} day as YYYY-MM-DD, in UTC as it was counted */
function date(day) {
  return new Date(day).toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
}

/**
 * @param {string} title
 * @param {{day: string, parts: Part[]}[]} bars
 * @param {(value: number) => string} said
 */
function spoken(title, bars, said) {
  const days = bars.filter(({ parts }) => parts.length).map(({ day, parts }) => `${date(day)} ${said(total(parts))}`);
  return `${title}: ${days.join(", ") || "nothing yet"}`;
}
