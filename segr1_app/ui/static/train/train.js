import { Asking } from "../shared/server.js";
import { button, field, whenSeen } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { counted } from "../shared/formatting.js";
import { courseChart } from "./chart.js";
import { changeList, gotWorse, objectTable, scoreTable } from "./outcome.js";

/**
 * @typedef {import("../shared/contracts.js").TrainingStatus} Status
 * @typedef {"policy" | "segmenter"} Role
 */

const POLL_MS = 1500;
const GONE = "The server did not answer. A running training continues; try again.";
const STATES = { running: "Running", stopped: "Stopped", done: "Done" };

/**
 * The Train tab.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element, server, trigger }) {
  new Train(element, server, () => trigger("change"));
}

class Train {
  /** @type {Status | null} */
  status = null;
  /** The selected training; empty for the newest. */
  chosen = "";
  /** The training whose before and after are shown. */
  compared = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer = undefined;
  /** Whether the visitor chose what learns; until then the corrections propose it. */
  decided = false;

  /**
   * @param {HTMLElement} element
   * @param {import("../shared/dom.js").Host["server"]} server
   * @param {() => void} modelChanged
   */
  constructor(element, server, modelChanged) {
    this.element = element;
    this.asking = new Asking(server, GONE);
    this.modelChanged = modelChanged;
    this.learns = h("select", { id: "train-learns" },
      h("option", { value: "policy" }, "Policy"), h("option", { value: "segmenter" }, "Segmenter"));
    this.learns.addEventListener("change", () => this.choose());
    this.proposal = h("p", { class: "train-proposal", role: "status" });
    this.steps = h("input", { type: "number", id: "train-steps", min: "1", max: "100000",
      placeholder: "default" });
    this.feedback = h("input", { type: "checkbox", id: "train-feedback", checked: "" });
    this.truths = h("input", { type: "checkbox", id: "train-truths" });
    this.starter = button("Start training", "start-training", () => this.start(), { primary: true });
    this.stopper = button("Stop", "stop-training", () => this.act("stop_training", {}));
    this.planner = button("Show the training data", "plan", () => this.showPlan());
    this.plan = h("pre", { class: "train-plan", tabindex: "0", "aria-label": "What would be trained on" });
    this.runs = h("select", { id: "train-run" });
    this.runs.addEventListener("change", () => this.look(this.runs.value));
    this.state = h("p", { class: "train-state", role: "status" });
    this.words = h("p", { class: "train-words" });
    this.lost = h("p", { class: "train-lost", role: "status" });
    this.warning = h("p", { class: "train-warning", role: "alert" });
    this.chart = h("div", { class: "train-chart" });
    this.scores = h("div", { class: "train-scores" });
    this.changes = h("section", { class: "train-changes", "aria-label": "Held-out pictures before and after" });
    this.resumer = button("Resume", "resume-training", () => this.act("resume_training", { run: this.run?.name }));
    this.promoter = button("Use this policy", "promote", () => this.change("promote", { run: this.run?.name }), {
      primary: true });
    this.returners = /** @type {Role[]} */ (["policy", "segmenter"]).map((role) => ({ role,
      button: button(`Back to the previous ${role}`, `go-back-${role}`,
        () => this.change("go_back", { learns: role })) }));
    this.used = h("p", { class: "train-used" });
    this.outcome = h("div", { class: "train-run" },
      h("div", { class: "job-top" }, field("Training", this.runs), this.state, this.resumer, this.promoter, this.used),
      this.words, this.lost, this.warning,
      h("div", { class: "train-figures" }, this.chart, this.scores),
      this.changes);
    this.empty = h("p", { class: "train-empty" },
      "No training yet. It starts from the model that the app uses now, with generated scenes and the annotators' "
      + "decisions; the new model is not used until you promote it.");
    element.replaceChildren(
      h("div", { class: "job-top" }, field("What learns", this.learns), field("Steps", this.steps),
        h("label", { class: "train-check", for: "train-feedback" }, this.feedback, "Learn from corrections"),
        h("label", { class: "train-check", for: "train-truths" }, this.truths, "Learn from imported true masks"),
        this.starter, this.stopper, this.planner, ...this.returners.map(({ button }) => button)),
      this.proposal, this.asking.notice, this.plan, this.empty, this.outcome);
    this.plan.hidden = true;
    this.render();
    whenSeen(element, () => this.refresh());
  }

  get run() {
    return this.status?.run ?? null;
  }

  /** @param {string} name */
  look(name) {
    this.chosen = name;
    return this.refresh();
  }

  /** Update the state, and again soon while a training runs and the tab is visible. */
  async refresh() {
    clearTimeout(this.timer);
    await this.act("training_state", { run: this.chosen });
    if (this.status?.running && this.element.clientWidth) this.timer = setTimeout(() => this.refresh(), POLL_MS);
  }

  /** @returns {Role} */
  get role() {
    return this.learns.value === "segmenter" ? "segmenter" : "policy";
  }

  /** What learns, and from what, as the server is asked. */
  get request() {
    return { learns: this.role, include_feedback: this.feedback.checked, include_truths: this.truths.checked };
  }

  /** The visitor has chosen what learns. */
  choose() {
    this.decided = true;
    this.plan.hidden = true;
  }

  /** Say whose mistakes the latest corrections were, and propose that model until one is chosen. */
  propose() {
    const { policy = 0, segmenter = 0 } = this.status?.blame ?? {};
    this.proposal.hidden = !policy && !segmenter;
    if (this.proposal.hidden) return;
    this.proposal.textContent = `${counted(segmenter, "mistake")} of the segmenter and ${policy} of the policy were `
      + "corrected recently.";
    if (!this.decided) this.learns.value = segmenter > policy ? "segmenter" : "policy";
  }

  start() {
    this.chosen = "";
    return this.act("start_training", {
      steps: this.steps.value ? this.steps.valueAsNumber : null, ...this.request });
  }

  /**
   * Call a function of the server that returns the new state.
   * @param {string} what
   * @param {object} question
   */
  async act(what, question) {
    const reply = /** @type {Status | null} */ (
      await this.asking.ask(what, question, { quiet: what === "training_state" }));
    if (!reply) return false;
    this.status = reply;
    this.render();
    if (reply.running && what !== "training_state") void this.refresh();
    await this.compare();
    return true;
  }

  /**
   * Change one of the app's models.
   * @param {string} what
   * @param {object} question
   */
  async change(what, question) {
    if (await this.act(what, question)) this.modelChanged();
  }

  async showPlan() {
    this.planner.disabled = true;
    this.plan.hidden = false;
    this.plan.textContent = "Counting …";
    const reply = await this.asking.ask("training_plan", this.request);
    this.plan.textContent = reply ? reply.plan : "";
    this.plan.hidden = !reply;
    this.planner.disabled = false;
  }

  /** Show before and after of a policy's training that is done, once. */
  async compare() {
    const { run } = this;
    const name = run?.state === "done" && run.learns === "policy" ? run.name : "";
    if (name === this.compared) return;
    this.compared = name;
    this.changes.replaceChildren();
    if (!name) return;
    const reply = await this.asking.ask("training_changes", { run: name }, { quiet: true });
    if (reply && this.compared === name) this.changes.replaceChildren(...changeList(reply.changes));
  }

  render() {
    const { run, status } = this;
    const running = status?.running ?? null;
    this.starter.disabled = running !== null;
    this.stopper.disabled = running === null;
    for (const { role, button } of this.returners) button.hidden = !status?.promoted.includes(role);
    this.propose();
    this.empty.hidden = !status || status.runs.length > 0;
    this.outcome.hidden = !run;
    if (!run || !status) return;
    this.runs.replaceChildren(...status.runs.map((name) => h("option", { value: name }, called(name))));
    this.runs.value = run.name;
    const made = run.curve.at(-1)?.[0] ?? 0;
    this.state.className = `train-state is-${run.state}`;
    this.state.textContent = `${STATES[run.state]}${run.steps ? ` · step ${made} of ${run.steps}` : ""}`
      + `${run.exported && run.exported !== made ? ` · policy of step ${run.exported}, the best one` : ""}`;
    this.words.textContent = [run.last_words, ...run.problems].join(" ");
    this.words.hidden = run.state === "done";
    this.words.classList.toggle("is-failure", run.state === "stopped");
    this.lost.textContent = run.resumable ? lossOf(made, run.saved) : "";
    this.lost.hidden = !this.lost.textContent;
    this.warning.textContent = run.warning;
    this.warning.hidden = !run.warning;
    this.resumer.hidden = !run.resumable || running !== null;
    const used = status.promoted_runs.includes(run.name);
    this.promoter.hidden = run.state !== "done" || used;
    this.promoter.textContent = `Use this ${run.learns}`;
    this.promoter.classList.toggle("is-primary", !gotWorse(run));
    this.used.textContent = used ? `The app uses this ${run.learns}.` : "";
    this.chart.replaceChildren(courseChart(run));
    this.scores.replaceChildren(...(run.learns === "policy" ? scoreTable(run.before, run.after)
      : objectTable(run.objects)));
  }
}

/**
 * What a stop costs: the steps since the last checkpoint.
 * @param {number} made
 * @param {number} saved the step of that checkpoint, 0 without one
 */
function lossOf(made, saved) {
  const lost = made - saved;
  if (lost <= 0) return "";
  const what = lost === 1 ? "step is" : "steps are";
  return saved ? `Resume continues after step ${saved}: the ${lost} ${what} made again.`
    : `There is no checkpoint yet: Resume starts at the beginning, and the ${lost} ${what} made again.`;
}

/**
 * The time that a training is named by, in the visitor's format.
 * @param {string} name such as 20261125-034500
 */
function called(name) {
  const [, segmenter, year, month, day, hour, minute, second] =
    /^(segmenter-)?(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)$/.exec(name) ?? [];
  return year ? `${year}-${month}-${day} ${hour}:${minute}:${second}${segmenter ? " · segmenter" : ""}` : name;
}
