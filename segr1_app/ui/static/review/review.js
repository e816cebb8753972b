import { Asking } from "../shared/server.js";
import { choiceDialog } from "../shared/dialogs.js";
import { NAME_KEY } from "../annotate/keys.js";
import { askFor } from "../annotate/reopening.js";
import { noteTask, openTasksBy } from "../shared/address.js";
import { button, field, whenSeen } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { storage } from "../shared/storage.js";
import { nameIn, whenMet } from "../shared/person.js";
import { historyList } from "./history.js";
import { legend } from "./legend.js";
import { Panes, describeAnswer } from "./panes.js";
import { taskList } from "./tasks.js";
import { VERDICTS, counted, figure } from "../shared/formatting.js";

/**
 * @typedef {import("../shared/contracts.js").AnnotatorPair} Pair
 * @typedef {import("../shared/contracts.js").ReviewedTask} Task
 */

const GONE = "The server did not answer: nothing was changed. Try again.";

/**
 * The Review tab: decided tasks, compared and, if necessary, corrected.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element, server }) {
  new Review(element, server);
}

class Review {
  /** @type {import("./tasks.js").Listed[]} */
  listed = [];
  /** @type {Task | null} */
  task = null;
  /** @type {import("./history.js").Compared} */
  compared = { first: "", second: "" };
  /** Counts the requests; an answer to an earlier one is dropped. */
  asked = { list: 0, task: 0, compare: 0 };

  /**
   * @param {HTMLElement} element
   * @param {import("../shared/dom.js").Host["server"]} server
   */
  constructor(element, server) {
    this.asking = new Asking(server, GONE);
    this.name = h("input", { type: "text", id: "reviewer-name", maxlength: "200", autocomplete: "username",
      placeholder: "Your name", spellcheck: "false" });
    this.annotator = h("select", { id: "review-annotator" }, h("option", { value: "" }, "Everybody"));
    this.verdict = h("select", { id: "review-verdict" }, h("option", { value: "" }, "Any"),
      ...Object.entries(VERDICTS).map(([value, text]) => h("option", { value }, text)));
    for (const filter of [this.annotator, this.verdict]) filter.addEventListener("change", () => this.list());
    this.count = h("p", { class: "job-count" });
    this.tasks = taskList((task) => this.open(task));
    this.more = button("More tasks", "more-tasks", () => this.list(this.listed.at(-1)?.revision));
    this.panes = new Panes();
    this.prompts = button("Prompts", "prompts", () => this.see());
    this.prompts.setAttribute("aria-pressed", "true");
    this.title = h("h2", { class: "job-instruction" });
    this.about = h("p", { class: "job-picture" });
    this.status = h("p", { class: "review-status", role: "status" });
    this.legend = legend();
    this.panes.difference.name("Difference · ", this.legend.iou);
    this.panes.difference.foot.append(this.legend.element);
    this.history = historyList({
      compare: (side, name) => this.compare({ ...this.compared, [side]: name }),
      choose: (revision) => this.choose(revision),
      restore: (revision) => this.restore(revision),
    });
    this.alike = h("p", { class: "review-alike" });
    this.empty = h("p", { class: "review-empty", role: "status" });
    this.detail = this.#buildDetail();
    element.replaceChildren(
      h("div", { class: "job-top" },
        field("Reviewer", this.name), field("Annotator", this.annotator), field("Decision", this.verdict),
        button("Refresh", "refresh", () => this.refresh()), h("div", { class: "review-count" }, this.count)),
      this.asking.notice,
      this.empty,
      h("div", { class: "review-bench" },
        h("div", { class: "review-side" }, this.tasks.element, this.more), this.detail),
    );
    this.stale = choiceDialog("Saved in the meantime", [
      { value: "keep", name: "Keep that version" },
      { value: "mine", name: "Restore on top of it" },
    ], (choice) => this.settle(choice));
    element.append(this.stale.element);
    this.render();
    openTasksBy("review", (task) => this.open(task));
    whenSeen(element, () => {
      this.name.value = storage.getItem(NAME_KEY) ?? "";
      whenMet((person) => nameIn(this.name, person));
      this.refresh();
    });
  }

  /** The chosen task: its title, its pictures and its history. */
  #buildDetail() {
    const detail = h("div", { class: "review-detail" },
      h("div", { class: "review-head" },
        h("div", { class: "review-words" }, this.title, this.about),
        button("Open in Annotate", "reopen", () => this.reopen()),
        h("div", { class: "tool-group", role: "group", "aria-label": "Pictures" },
          button("−", "zoom-out", () => this.panes.zoom(1 / 1.5)), button("+", "zoom-in", () => this.panes.zoom(1.5)),
          button("Fit", "fit", () => this.panes.fit()), this.prompts)),
      this.status,
      h("div", { class: "review-panes" }, ...this.panes.all.map((pane) => pane.element),
        h("section", { class: "review-history", "aria-label": "History" }, h("h3", {}, "History"), this.alike,
          this.history.element)));
    for (const [action, name] of /** @type {const} */ ([["zoom-in", "Zoom in"], ["zoom-out", "Zoom out"]])) {
      const made = detail.querySelector(`[data-action=${action}]`);
      made?.setAttribute("aria-label", name);
      made?.setAttribute("title", `${name} (Ctrl and wheel)`);
    }
    return detail;
  }

  async refresh() {
    await this.list();
    const number = this.chosen ?? this.listed.at(0)?.task;
    if (number === undefined) return;
    await this.open(number, number === this.task?.task ? this.compared : undefined);
  }

  /**
   * The newest page of the list, or the one after a revision.
   * @param {number} [before]
   */
  async list(before) {
    const asked = ++this.asked.list;
    const reply = await this.asking.ask("decided_tasks", { annotator: this.annotator.value, verdict: this.verdict.value,
      before: before ?? null });
    if (!reply || asked !== this.asked.list) return;
    this.listed = before ? [...this.listed, ...reply.tasks] : reply.tasks;
    this.more.hidden = !reply.more;
    const all = `${counted(reply.decided, "task")} decided`;
    const filtered = this.annotator.value || this.verdict.value;
    // The server counts all tasks only: how many a filter leaves is known once they are listed.
    const shown = `${counted(this.listed.length, "task")}${reply.more ? " or more" : ""}`;
    this.count.textContent = filtered ? `${shown} of ${all}` : all;
    this.#people(reply.annotators);
    this.render();
  }

  /** @param {string[]} names */
  #people(names) {
    const chosen = this.annotator.value;
    this.annotator.replaceChildren(h("option", { value: "" }, "Everybody"),
      ...names.map((name) => h("option", { value: name }, name)));
    this.annotator.value = names.includes(chosen) ? chosen : "";
  }

  /**
   * @param {number} number
   * @param {import("./history.js").Compared} [compared] instead of what the server proposes
   */
  async open(number, compared) {
    const asked = ++this.asked.task;
    this.chosen = number;
    /** @type {Task | null} */
    const task = await this.asking.ask("review_task", { task: number });
    if (!task || asked !== this.asked.task) return;
    const another = task.task !== this.task?.task;
    this.task = task;
    noteTask("review", task.task);
    if (another) {
      this.status.textContent = "";
      this.panes.open(task.canvas);
    }
    this.render();
    if (another && this.title.getBoundingClientRect().top > innerHeight / 2) this.detail.scrollIntoView();
    await this.compare(compared ?? { first: task.first, second: task.second });
  }

  /** @param {import("./history.js").Compared} compared */
  async compare(compared) {
    const { task } = this;
    if (!task) return;
    this.compared = compared;
    this.history.render(task, compared);
    const asked = ++this.asked.compare;
    const reply = await this.asking.ask("compare", { task: task.task, ...compared });
    if (!reply || asked !== this.asked.compare) return;
    this.panes.compare(reply.first, reply.second);
    for (const [side, letter] of /** @type {const} */ ([["first", "A"], ["second", "B"]])) {
      this.panes[side].name(h("span", { class: `side-letter is-${side}` }, letter), " ", ...this.#called(compared[side]));
      this.panes[side].foot.textContent = describeAnswer(reply[side]);
    }
    this.legend.render(reply);
    this.panes.difference.name("Difference · ", this.legend.iou);
  }

  /**
   * What is compared, in words.
   * @param {string} name
   * @returns {(Node | string)[]}
   */
  #called(name) {
    const made = this.task?.revisions.find(({ revision }) => name === `revision ${revision}`);
    if (!made) return [`Policy, ${name}`];
    return [h("bdi", {}, made.annotator), `, ${name}${made.current ? ", current" : ""}`];
  }

  /** @param {number | null} revision */
  async choose(revision) {
    const reviewer = this.reviewer();
    if (!reviewer || !this.task) return;
    const reply = await this.asking.ask("make_current", { reviewer, task: this.task.task, revision });
    if (!reply) return;
    await this.refresh();
    this.status.textContent = revision === null
      ? `The choice is undone; ${reply.current === null ? "no revision" : `revision ${reply.current}`} is current.`
      : `Revision ${reply.current} is current, whatever is saved later.`;
  }

  /**
   * @param {number} revision
   * @param {number | null} [parent] the reviewer's own newest revision, when it is not the one in the history
   */
  async restore(revision, parent) {
    const reviewer = this.reviewer();
    if (!reviewer || !this.task) return;
    const own = this.task.revisions.find(({ annotator }) => annotator === reviewer)?.revision ?? null;
    const reply = await this.asking.ask("restore", { reviewer, revision, parent: parent ?? own });
    if (!reply) return;
    if ("stale" in reply) {
      this.pending = { revision, parent: reply.stale };
      return this.stale.open(reply.message);
    }
    await this.refresh();
    const counts = reply.current === reply.revision ? "now the current one" : `but revision ${reply.current} stays current`;
    this.status.textContent = `Revision ${revision} is restored as revision ${reply.revision}, ${counts}.`;
  }

  /** @param {string} choice */
  async settle(choice) {
    const { revision, parent } = this.pending;
    if (choice === "mine") return this.restore(revision, parent);
    await this.refresh();
  }

  /** Correct the task again, as a new revision of the visitor. */
  reopen() {
    const annotator = this.reviewer();
    if (!annotator || !this.task) return;
    askFor({ annotator, task: this.task.task });
    /** @type {HTMLElement | null} */ (document.querySelector("[role=tab][data-tab-id=annotate-tab]"))?.click();
  }

  /** The reviewer's name as the store normalises it; empty, with a message, while there is none. */
  reviewer() {
    const name = this.name.value.trim().split(/\s+/).join(" ");
    if (name) storage.setItem(NAME_KEY, name);
    else {
      this.asking.tell("Enter your name first.");
      this.name.focus();
    }
    return name;
  }

  see() {
    this.panes.marks = !this.panes.marks;
    this.prompts.setAttribute("aria-pressed", String(this.panes.marks));
    this.panes.draw();
  }

  render() {
    const { task, listed } = this;
    this.tasks.render(listed, task?.task ?? null);
    this.detail.hidden = !task;
    this.empty.hidden = !this.asked.list || listed.length > 0;
    this.empty.textContent = this.annotator.value || this.verdict.value
      ? "No decided task matches."
      : "Nothing is decided yet. Tasks that are accepted, fixed or rejected on the Annotate tab appear here.";
    if (!task) return;
    this.title.replaceChildren(h("bdi", {}, task.instruction));
    this.about.replaceChildren(`Task ${task.task} · `, h("bdi", {}, task.picture_name));
    this.alike.replaceChildren(...agreement(task));
  }

  pending = { revision: 0, parent: 0 };
  /** The task that is open, or about to be. @type {number | undefined} */
  chosen = undefined;
}

/**
 * @param {Task} task
 * @returns {(Node | string)[]}
 */
function agreement({ agreement: mean, pairs }) {
  if (mean === null) return ["Agreement needs masks of two people."];
  const byPair = pairs.flatMap(({ annotators: [one, other], iou }) =>
    [" · ", h("bdi", {}, one), " and ", h("bdi", {}, other), ` ${figure(iou, 2)}`]);
  return [h("strong", {}, `Agreement ${figure(mean, 2)}`), ...byPair];
}
