import { REASONS } from "../annotate/keys.js";
import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { counted, figure, moment } from "../shared/formatting.js";
import { verdictMark } from "./tasks.js";

/**
 * @typedef {import("../shared/contracts.js").PastRevision} Revision
 * @typedef {import("../shared/contracts.js").PastPrediction} Prediction
 * @typedef {{revisions: Revision[], predictions: Prediction[], chosen_by: string | null}} History
 * @typedef {{first: string, second: string}} Compared names as compare takes them
 *
 * What the list asks of the tab.
 * @typedef {{compare: (side: keyof Compared, name: string) => void, choose: (revision: number | null) => void,
 *   restore: (revision: number) => void}} Use
 */

const SIDES = /** @type {const} */ ([["first", "A"], ["second", "B"]]);

/**
 * All predictions and revisions of a task, newest first, with two of them selected for comparison.
 * @param {Use} use
 * @returns {{element: HTMLElement, render: (history: History, compared: Compared) => void}}
 */
export function historyList(use) {
  const element = h("ol", { class: "history", "aria-label": "History, the newest first" });
  return {
    element,
    render(history, compared) {
      const refocus = keptFocus(element);
      element.replaceChildren(
        ...history.revisions.map((made) => revisionEntry(made, history, compared, use)),
        ...history.predictions.map((made) => predictionEntry(made, compared, use)),
      );
      refocus();
    },
  };
}

/**
 * @param {Revision} made
 * @param {History} history
 * @param {Compared} compared
 * @param {Use} use
 */
function revisionEntry(made, history, compared, use) {
  const chosen = made.current && history.chosen_by !== null;
  const by = history.chosen_by === null ? [] : [", chosen by ", h("bdi", {}, history.chosen_by)];
  const badge = made.current ? [h("span", { class: "badge" }, "Current", ...by)] : [];
  const current = button("Make current", "make-current", () => use.choose(made.revision));
  current.disabled = chosen || made.verdict === "skip";
  const actions = [current, button("Restore", "restore", () => use.restore(made.revision))];
  if (chosen) actions.push(button("Undo the choice", "unchoose", () => use.choose(null)));
  for (const each of actions) each.setAttribute("aria-label", `${each.textContent}: revision ${made.revision}`);
  return h(
    "li",
    { "data-key": `revision ${made.revision}` },
    pickers(`revision ${made.revision}`, `revision ${made.revision} by ${made.annotator}`, compared, use),
    h("div", { class: "history-entry" },
      h("p", { class: "history-who" }, h("bdi", {}, made.annotator), verdictMark(made.verdict), ...badge),
      h("p", { class: "history-facts" }, facts(made)),
      ...(made.comment ? [h("p", { class: "history-comment", dir: "auto" }, made.comment)] : []),
      h("div", { class: "history-actions" }, ...actions)),
  );
}

/**
 * @param {Prediction} made
 * @param {Compared} compared
 * @param {Use} use
 */
function predictionEntry({ prediction: number, policy, checkpoint, created_at }, compared, use) {
  return h(
    "li",
    { "data-key": `prediction ${number}` },
    pickers(`prediction ${number}`, `prediction ${number} of the policy`, compared, use),
    h("div", { class: "history-entry" },
      h("p", { class: "history-who" }, "Policy"),
      h("p", { class: "history-facts" }, `Prediction ${number} · ${moment(created_at)} · `, h("bdi", {}, policy),
        ` · ${checkpoint.slice(0, 8)}`)),
  );
}

/**
 * The radio buttons that select an entry for either side of the comparison.
 * @param {string} name
 * @param {string} spoken
 * @param {Compared} compared
 * @param {Use} use
 */
function pickers(name, spoken, compared, use) {
  return h("div", { class: "history-sides" }, ...SIDES.map(([side, letter]) => {
    const label = `${letter}: ${spoken}`;
    const input = h("input", { type: "radio", name: `review-${side}`, value: name, "aria-label": label });
    input.checked = compared[side] === name;
    input.addEventListener("change", () => use.compare(side, name));
    return h("label", { class: `side-pick is-${side}` }, input, h("span", { "aria-hidden": "true" }, letter));
  }));
}

/**
 * Keyboard focus survives when the list is drawn again: it stays on the same control of the same entry, or moves to
 * the next enabled one there.
 * @param {HTMLElement} list
 * @returns {() => void} to be called when it is drawn
 */
function keptFocus(list) {
  const at = document.activeElement;
  const row = at?.closest("li");
  if (!(at instanceof HTMLElement) || !row || !list.contains(row)) return () => {};
  const key = row.dataset.key;
  const control = at instanceof HTMLInputElement ? `input[name="${at.name}"]` : `[data-action="${at.dataset.action}"]`;
  return () => {
    const again = [...list.children].find((each) => each instanceof HTMLElement && each.dataset.key === key);
    const found = again?.querySelector(`${control}:enabled`) ?? again?.querySelector("button:enabled");
    if (found instanceof HTMLElement) found.focus({ preventScroll: true });
  };
}

/** @param {Revision} made */
function facts({ revision, verdict, created_at, clicks, seconds, policy_iou, reason, blame, cleaned, origin }) {
  const parts = [`Revision ${revision}`, moment(created_at)];
  const worked = clicks > 0 || seconds > 0;
  if (origin !== null) parts.push(`${worked ? "started" : "restored"} from revision ${origin}`);
  if (worked || origin === null) parts.push(counted(clicks, "click"), `${figure(seconds, 1)} s`);
  const masked = verdict === "accept" || verdict === "fix";
  if (masked && policy_iou !== null) parts.push(`IoU with the policy’s mask ${figure(policy_iou, 2)}`);
  if (cleaned) parts.push("small parts and holes cleaned");
  if (reason) parts.push(REASONS.find(({ value }) => value === reason)?.name ?? reason);
  else if (blame) parts.push(`the ${blame} was wrong`);
  return parts.join(" · ");
}
