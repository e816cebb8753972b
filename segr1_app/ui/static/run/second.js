import { legend } from "../review/legend.js";
import { Panes, describeAnswer } from "../review/panes.js";
import { button, field, whenSeen } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { figure } from "../shared/formatting.js";
import { whenMet } from "../shared/person.js";
import { Asking } from "../shared/server.js";
import { split } from "./answer.js";

/**
 * @typedef {import("../shared/contracts.js").TwoAnswers} TwoAnswers
 * @typedef {import("../shared/contracts.js").PolicyAnswer} PolicyAnswer
 * @typedef {import("../shared/contracts.js").SecondPolicyState} State
 */

const PHASES = {
  none: "",
  waiting: "The second policy is looking at the picture",
  writing: "The second policy is reasoning",
  done: "Both have answered",
  stopped: "Stopped",
  failed: "The second policy did not answer",
};
const BUSY = new Set(["waiting", "writing"]);
const POLL_MS = 1000;
const GONE = "The server did not answer: the second policy may not be what is shown here. Try again.";
const EMPTY = { mask: null, objects: [] };
const SIDES = /** @type {const} */ (["first", "second"]);
const LETTERS = { first: "A", second: "B" };

/**
 * A second policy that answers after the first, and both answers side by side.
 * @param {import("../shared/dom.js").Host} host its value is a TwoAnswers
 */
export function mount({ element, props, watch, server }) {
  const setup = new Setup(server);
  const result = new Result();
  element.replaceChildren(setup.element);
  const render = () => {
    const value = /** @type {TwoAnswers} */ (props.value);
    // Without answers to compare, the page has no pictures for them.
    if (!value.canvas) result.element.remove();
    else if (!result.element.isConnected) element.append(result.element);
    result.render(value);
  };
  watch("value", render);
  render();
}

/** Loads and unloads the second policy. */
class Setup {
  policy = h("input", { id: "second-name", type: "text", spellcheck: "false", autocomplete: "off" });
  url = h("input", { id: "second-server", type: "url", spellcheck: "false", autocomplete: "off",
    placeholder: "empty: on this machine" });
  status = h("p", { class: "second-status", role: "status" });
  admin = false;
  polling = 0;

  /** @param {import("../shared/dom.js").Host["server"]} server */
  constructor(server) {
    this.asking = new Asking(server, GONE);
    this.load = button("Load", "open-second", () => this.#load(), { primary: true });
    this.unload = button("Unload", "close-second", () => this.#change("close_second_policy", {}));
    this.form = h("form", { class: "second-form" },
      field("Second policy: a folder, a hub id, or its name on the server", this.policy),
      field("Its server", this.url), h("div", { class: "second-buttons" }, this.load, this.unload));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#load();
    });
    this.element = h("details", { class: "second-setup" }, h("summary", {}, "Compare with a second policy"),
      this.form, this.status, this.asking.notice);
    this.#show({ state: "none", policy: "", failure: "" });
    whenMet((person) => {
      this.admin = person.may.includes("administer");
      this.form.hidden = !this.admin;
      this.#look();
    });
    whenSeen(this.element, () => this.#look());
  }

  #load() {
    return this.#change("open_second_policy", { policy: this.policy.value, server: this.url.value });
  }

  /**
   * @param {string} what
   * @param {object} question
   */
  async #change(what, question) {
    for (const each of [this.load, this.unload]) each.disabled = true;
    const state = await this.asking.ask(what, question);
    for (const each of [this.load, this.unload]) each.disabled = false;
    if (state) this.#show(state);
    else this.#look();
  }

  async #look() {
    const state = await this.asking.ask("second_policy", {}, { quiet: true });
    if (state) this.#show(state);
  }

  /** @param {State} state */
  #show({ state, policy, failure }) {
    const texts = {
      none: this.admin ? "None is loaded: a run asks the first policy only."
        : "None is loaded. Somebody with the role of an admin can load one.",
      loading: `Loading ${policy}…`,
      ready: `${policy} is loaded: every run on this page also asks it, with the same segmenter.`,
      failed: failure,
    };
    this.element.dataset.state = state;
    this.status.textContent = texts[state];
    this.unload.hidden = state === "none";
    clearTimeout(this.polling);
    if (state === "loading") this.polling = window.setTimeout(() => this.#look(), POLL_MS);
  }
}

/** Both answers. */
class Result {
  panes = new Panes();
  legend = legend();
  phase = h("p", { class: "answer-phase", role: "status" });
  /** The picture that the panes show. */
  opened = "";

  constructor() {
    this.answers = { first: new Answer("A"), second: new Answer("B") };
    for (const side of SIDES) this.panes[side].element.append(this.answers[side].element);
    this.panes.difference.foot.append(this.legend.element);
    this.element = h("section", { class: "second-result", "aria-label": "Both answers" },
      this.phase,
      h("div", { class: "review-panes" }, ...this.panes.all.map((pane) => pane.element)));
  }

  /** @param {TwoAnswers} value */
  render({ phase, canvas, first, second, overlap }) {
    this.element.dataset.phase = phase;
    this.phase.textContent = PHASES[phase];
    this.phase.classList.toggle("is-busy", BUSY.has(phase));
    if (!canvas || !first) return;
    if (this.opened !== canvas.picture.url) this.panes.open(canvas);
    this.opened = canvas.picture.url;
    this.panes.compare(first.side, second?.side ?? EMPTY);
    const answers = { first, second };
    for (const side of SIDES) {
      const answer = answers[side];
      this.panes[side].name(h("span", { class: `side-letter is-${side}` }, LETTERS[side]), " ",
        h("bdi", {}, answer?.policy ?? "The second policy"));
      this.panes[side].foot.textContent = answer && answer.seconds !== null ? figures(answer) : "";
      this.answers[side].render(answer);
    }
    this.panes.difference.name("Difference · ", this.legend.iou);
    this.legend.element.hidden = !overlap;
    this.legend.iou.textContent = "";
    if (overlap) this.legend.render(overlap);
  }
}

/** The words of one answer. */
class Answer {
  notice = h("div", { class: "notice", role: "alert" });

  /** @param {string} name */
  constructor(name) {
    this.reasoning = h("p", { class: "answer-reasoning", tabindex: "0", "aria-label": `Reasoning of ${name}` });
    this.prompts = h("pre", { class: "answer-prompts", tabindex: "0", role: "group",
      "aria-label": `Prompts of ${name} as written` });
    this.element = h("div", { class: "second-answer" }, this.notice, this.reasoning, this.prompts);
  }

  /** @param {PolicyAnswer | null} answer */
  render(answer) {
    const spoken = split(answer?.text ?? "");
    this.reasoning.textContent = spoken.reasoning;
    this.prompts.textContent = spoken.rest;
    const said = answer?.failure || (answer?.abstains ? "No such object: it answers that the picture does not show it."
      : answer?.problems.length ? `The completion is malformed: ${answer.problems.join("; ")}` : "");
    this.notice.hidden = !said;
    this.notice.textContent = said;
  }
}

/**
 * An answer in numbers: its prompts, the segmenter's confidence, the time, and its scores if the true mask is known.
 * @param {PolicyAnswer} answer
 */
function figures({ side, confidences, seconds, scores }) {
  const sure = confidences.map((confidence) => `${Math.round(100 * confidence)} %`).join(", ");
  return [
    describeAnswer(side),
    ...(sure ? [`confidence ${sure}`] : []),
    `${figure(seconds, 1)} s`,
    ...(scores ? [`true mask: IoU ${figure(scores.iou, 3)}, S-measure ${figure(scores.s_measure, 3)}`] : []),
  ].join(" · ");
}
