import { Asking } from "../shared/server.js";
import { button, whenSeen } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { dayChart, verdictBar, verdictLegend, verdictParts } from "./charts.js";
import { calendar, duration, each } from "./figures.js";
import { counted, figure } from "../shared/formatting.js";

/**
 * @typedef {import("./figures.js").Tally} Tally
 * @typedef {import("../shared/contracts.js").WorkStatistics} Report
 */

const GONE = "The server did not answer. Try again in a moment.";
const [FEWEST_DAYS, MOST_DAYS] = [14, 30];

/**
 * The columns of the table: their heading, their value, and how it is formatted; the column of the verdicts has its own
 * drawing.
 */
const COLUMNS = /** @type {[string, ((tally: Tally) => number | null)?, ((value: number | null) => string)?][]} */ ([
  ["Decided", (tally) => tally.done, (value) => figure(value, 0)],
  ["Decisions"],
  ["Per hour", (tally) => tally.per_hour, (value) => figure(value, 1)],
  ["Clicks each", (tally) => each(tally.clicks, tally), (value) => figure(value, 1)],
  ["Seconds each", (tally) => each(tally.seconds, tally), (value) => figure(value, 1)],
  ["IoU gained", (tally) => tally.iou_gained, (value) => figure(value, 3)],
  ["Time", (tally) => tally.seconds, (value) => duration(value ?? 0)],
]);

/**
 * The Progress tab: progress and effort.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element, server }) {
  const asking = new Asking(server, GONE);
  const body = h("div", { class: "progress-body" });
  element.replaceChildren(asking.notice, body);
  const refresh = async () => {
    /** @type {Report | null} */
    const report = await asking.ask("statistics", {});
    if (report) body.replaceChildren(...shown(report, refresh));
  };
  whenSeen(element, refresh);
}

/**
 * @param {Report} report
 * @param {() => void} refresh
 */
function shown(report, refresh) {
  const { total } = report;
  const days = calendar(report.days, FEWEST_DAYS, MOST_DAYS);
  const decided = report.tasks - report.open;
  const meter = h("progress", {
    max: String(Math.max(1, report.tasks)), value: String(decided), "aria-label": "Tasks decided",
  });
  return [
    h("section", { class: "progress-head", "aria-label": "In total" },
      h("div", { class: "job-progress" },
        h("p", { class: "progress-done" }, `${decided} of ${counted(report.tasks, "task")} decided`), meter),
      h("dl", { class: "progress-tiles" },
        tile("per hour", figure(total.per_hour, 1)), tile("clicks each", figure(each(total.clicks, total), 1)),
        tile("seconds each", figure(each(total.seconds, total), 1)), tile("IoU gained", figure(total.iou_gained, 3)),
        tile("working time", duration(total.seconds))),
      button("Refresh", "refresh-progress", refresh)),
    h("section", { class: "progress-charts", "aria-label": "By day" },
      dayChart("Decided per day", days, verdictParts, (value) => figure(value, 0)),
      dayChart("Per hour", days, (tally) => plain(tally.per_hour), (value) => figure(value, 1)),
      dayChart("Clicks each", days, (tally) => plain(each(tally.clicks, tally)), (value) => figure(value, 1)),
      dayChart("Seconds each", days, (tally) => plain(each(tally.seconds, tally)), (value) => figure(value, 1)),
      dayChart("IoU gained", days, (tally) => plain(tally.iou_gained), (value) => figure(value, 3))),
    verdictLegend(),
    table([
      ["In total", [[["Everybody"], total]]],
      ["By annotator", report.annotators.map((tally) => [[h("bdi", {}, tally.name)], tally])],
      ["By checkpoint of the policy", report.checkpoints.map((tally) => [checkpoint(tally), tally])],
    ]),
    h("p", { class: "progress-note" }, "“Each” is per decided task. IoU gained is how far the policy’s mask was from the "
      + "one that was kept, 1 − IoU, on average over accepts and fixes: the better the policy, the smaller the gain."),
    h("section", { class: "progress-pairs", "aria-label": "Agreement" },
      h("h2", {}, "Agreement"), ...agreement(report.pairs)),
  ];
}

/** @param {number | null} value */
function plain(value) {
  return value === null ? [] : [{ kind: "plain", value }];
}

/**
 * @param {string} name
 * @param {string} value
 */
function tile(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** @param {{policy: string, checkpoint: string}} of */
function checkpoint({ policy, checkpoint: digest }) {
  return policy || digest ? [h("bdi", {}, policy), ` · ${digest.slice(0, 8)}`] : ["Without a prediction"];
}

/**
 * The roles are explicit because a narrow page displays the rows as cards, which would remove them.
 * @param {[string, [(Node | string)[], Tally][]][]} groups
 */
function table(groups) {
  const head = h("tr", { role: "row" }, h("th", { role: "columnheader", scope: "col" }, "Who"),
    ...COLUMNS.map(([name]) => h("th", { role: "columnheader", scope: "col" }, name)));
  const rows = groups.flatMap(([title, tallies]) => [
    h("tr", { class: "progress-group", role: "row" },
      h("th", { role: "rowheader", colspan: String(COLUMNS.length + 1), scope: "colgroup" }, title)),
    ...tallies.map(([name, tally]) => h("tr", { role: "row" },
      h("th", { role: "rowheader", scope: "row" }, ...name),
      ...COLUMNS.map(([column, value, said]) => h("td", { role: "cell", "data-column": column },
        ...(value && said ? measured(value(tally), said, tallies.map(([, other]) => value(other)))
          : [verdictBar(tally.verdicts)]))))),
  ]);
  return h("table", { class: "progress-table", role: "table", "aria-label": "Progress and cost" },
    h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, ...rows));
}

/**
 * A figure, above a bar proportional to the largest of its group.
 * @param {number | null} value
 * @param {(value: number | null) => string} said
 * @param {(number | null)[]} group
 */
function measured(value, said, group) {
  const longest = Math.max(...group.map((other) => other ?? 0));
  if (group.length < 2 || !longest) return [said(value)];
  const bar = h("span", { class: "figure-bar", "aria-hidden": "true" });
  bar.style.setProperty("--part", String((value ?? 0) / longest));
  return [said(value), bar];
}

/** @param {Report["pairs"]} pairs */
function agreement(pairs) {
  if (!pairs.length) return [h("p", {}, "No task has masks by two people yet: there is nothing to compare.")];
  return [h("ul", {}, ...pairs.map(({ annotators: [one, other], iou }) => {
    const bar = h("span", { class: "confidence-bar", "aria-hidden": "true" });
    bar.style.setProperty("--part", String(iou));
    return h("li", {}, h("span", {}, h("bdi", {}, one), " and ", h("bdi", {}, other)), bar,
      h("span", { class: "confidence" }, figure(iou, 3)));
  }))];
}
