import { h } from "../shared/dom.js";
import { VERDICTS, counted, figure, moment } from "../shared/formatting.js";

/**
 * @typedef {import("../shared/contracts.js").DecidedTaskRow} Listed
 */

/**
 * The list of decided tasks; the open one is marked.
 * @param {(task: number) => void} open
 * @returns {{element: HTMLElement, render: (tasks: Listed[], current: number | null) => void}}
 */
export function taskList(open) {
  const element = h("ol", { class: "review-tasks", "aria-label": "Decided tasks, the newest first" });
  return {
    element,
    render(tasks, current) {
      const focused = document.activeElement?.getAttribute("data-task");
      element.replaceChildren(...tasks.map((each) => h("li", {}, entry(each, each.task === current, open))));
      if (focused) /** @type {HTMLElement | null} */ (element.querySelector(`[data-task="${focused}"]`))?.focus();
    },
  };
}

/**
 * @param {Listed} listed
 * @param {boolean} current
 * @param {(task: number) => void} open
 */
function entry({ task, instruction, picture_name, annotator, verdict, saved_at, people, agreement }, current, open) {
  const others = people > 1 ? [` · ${counted(people, "person", "people")}`] : [];
  const alike = agreement === null ? [] : [` · agreement ${figure(agreement, 2)}`];
  const button = h(
    "button",
    { type: "button", class: "review-task", "data-task": String(task), "aria-current": String(current) },
    h("span", { class: "review-task-title" }, h("bdi", {}, instruction)),
    h("span", { class: "review-task-line" }, `Task ${task} · `, h("bdi", {}, picture_name)),
    h("span", { class: "review-task-line" }, verdictMark(verdict), " by ", h("bdi", {}, annotator)),
    h("span", { class: "review-task-line" }, moment(saved_at), ...others, ...alike),
  );
  button.addEventListener("click", () => open(task));
  return button;
}

/** @param {import("../shared/formatting.js").Verdict} verdict */
export function verdictMark(verdict) {
  return h("span", { class: `verdict is-${verdict}` }, VERDICTS[verdict]);
}
