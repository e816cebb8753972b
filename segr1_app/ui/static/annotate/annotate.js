/** It is long because the life of a task, from being asked for to its decision, is one state that every call changes. */

import { noteTask, openTasksBy } from "../shared/address.js";
import { button, whenSeen } from "../shared/controls.js";
import { choiceDialog } from "../shared/dialogs.js";
import { isBlocked, storage } from "../shared/storage.js";
import { classEditor } from "./class_editor.js";
import { classPanel } from "./classes.js";
import { Clock } from "./clock.js";
import { Drafts } from "./drafts.js";
import { instructionDialog } from "./instruction.js";
import { Finding, UNANSWERED } from "./finding.js";
import { DECISION_KEYS, FIND_KEYS, NAME_KEY, REASONS } from "./keys.js";
import { openBy } from "./reopening.js";
import { comeIntoSight, workbench } from "./workbench.js";
import { answer } from "../canvas/live.js";
import { addObjects } from "../canvas/prompts.js";
import { Canvas } from "../canvas/view.js";
import { nameIn, refusal, whenMet } from "../shared/person.js";
import { Asking } from "../shared/server.js";

/**
 * @typedef {import("../shared/contracts.js").TaskProgress} Progress
 * @typedef {{objects: import("../canvas/types.js").GivenObject[], comment: string, seconds: number, clicks: number,
 *   origin?: number | null, at?: number}} Draft
 * @typedef {import("../shared/contracts.js").LeasedTask} LeasedTask
 * @typedef {Omit<LeasedTask, "task"> & {task: number | null}} Task with null where no task is left
 * @typedef {"idle" | "storing" | "asking"} Phase what is under way: nothing; the drawing on the present task is being
 *   stored before another one is asked for; the server is asked for a task or a decision
 */

const ORDER_KEY = "segr1-order";
const PATIENCE_MS = 1500;
const DECIDED = "This task has already been decided: you continue from the current revision and save a new one.";
const HELD = "You still hold this task: decide or skip it to get the next one.";
const NOTHING = "Nothing is marked any more.";
const LEAST_LOOK_MS = 400; // a second press of the key that decided the task before must not decide this one
const TOO_SOON = "Ignored: this task had only just appeared.";
const BLOCKED = "This browser blocks storage for this page: your name is remembered only until it is closed.";
const IMPORTED = "New tasks have been imported: press Next task.";
const GONE = "The server did not answer: try again in a moment; your work is still here.";

/**
 * The Annotate tab: a task on a canvas, and one key to decide it.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element, props, server }) {
  new Annotate(element, server, props.value.finds);
}

class Annotate {
  /** @type {Task | null} */
  task = null;
  clicks = 0;
  clock = new Clock();
  /** @type {Phase} */
  #phase = "idle";

  /**
   * @param {HTMLElement} element
   * @param {import("../shared/dom.js").Host["server"]} server
   * @param {boolean} finds whether there is a model for Find all
   */
  constructor(element, server, finds) {
    this.server = server;
    this.asking = new Asking(server, GONE);
    this.bench = workbench(element, {
      start: () => this.start(),
      edit: () => this.task && this.wording.open(this.task.instruction),
      act: (action) => this.act(action),
      commented: () => this.keep(),
      leaveComment: () => this.canvas.frame.focus({ preventScroll: true }),
    });
    const { stage, decisions } = this.bench;
    this.canvas = new Canvas(stage, {
      decode: (question) => server.decode(question),
      empty: "Enter your name and press Next task. Tasks are imported below.",
      keys: finds ? [...DECISION_KEYS, ...FIND_KEYS] : DECISION_KEYS,
      act: (action, press) => this.act(action, press),
      edited: () => this.edited(),
    });
    this.bench.reasoning.parentElement?.before(this.panel.element);
    this.finding = new Finding(this.canvas, (question) => this.ask("find_all", question));
    this.finding.element.hidden = !finds;
    decisions.before(this.finding.element);
    // Beside the picture, which is larger that way.
    decisions.before(this.canvas.reward.element);
    // In a row that is always there, below the picture: it moves nothing and hides nothing.
    this.canvas.foot.append(this.asking.notice, this.bench.undoing);
    this.drafts = new Drafts("annotate", () => this.draft(), (question) => this.putDraft(question));
    this.rejection = choiceDialog("Why is it rejected?", REASONS, (reason) => this.decide("reject", reason));
    this.stale = choiceDialog("Saved in the meantime", [
      { value: "keep", name: "Keep that version, and go on" },
      { value: "mine", name: "Save mine on top of it" },
    ], (choice) => this.settle(choice));
    this.wording = instructionDialog({
      change: (instruction) => this.take("set_instruction", { task: this.task?.task, instruction }),
      add: (instruction) => this.take("add_task", { task: this.task?.task, instruction }),
    });
    element.append(this.rejection.element, this.stale.element, this.wording.element, this.editor.element);

    this.bench.name.value = storage.getItem(NAME_KEY) ?? "";
    this.bench.order.value = storage.getItem(ORDER_KEY) ?? "imported";
    document.addEventListener("segr1:imported", () => this.learnClasses());
    whenSeen(element, () => this.learnClasses());
    document.addEventListener("segr1:imported", () => !this.task && this.idle && this.tell(IMPORTED));
    this.tell(isBlocked ? BLOCKED : "");
    this.offerUndo(null);
    this.render();
    this.canvas.show(null);
    const asked = openBy((wish) => this.reopen(wish));
    whenMet((person) => {
      nameIn(this.bench.name, person);
      this.allowed = person.may.includes("annotate");
      if (person.may.includes("administer")) this.panel.allow();
      if (!this.allowed) this.tell(refusal("annotate", person));
      const linked = openTasksBy("annotate", (task) => this.reopen({ annotator: this.annotator, task }));
      if (this.allowed && !asked && !linked) this.#resume(element);
      this.render();
    });
  }

  /** After a reload, an annotator at work continues where they were, once this tab is visible. */
  #resume(/** @type {HTMLElement} */ element) {
    if (!this.bench.name.value) return;
    this.resuming.observe(element);
  }

  resuming = new ResizeObserver(([{ target }]) => {
    if (!target.clientWidth) return;
    this.resuming.disconnect();
    this.next();
  });

  /**
   * Open the task that another tab asks for.
   * @param {import("./reopening.js").Wish} wish
   */
  async reopen({ annotator, task }) {
    this.resuming.disconnect();
    if (!annotator) {
      this.linked = task;
      this.tell(`Enter your name, then press Next task: task ${task} opens.`);
      return this.bench.name.focus();
    }
    if (!this.idle) return this.tell("Another task is loading: try again when it is there.");
    await this.take("open_task", { task }, annotator);
  }

  /**
   * Replace the current task with a given one.
   * @param {string} what
   * @param {object} question
   * @param {string} [annotator] who works from now on
   */
  async take(what, question, annotator = this.annotator) {
    await this.#turn(async () => {
      this.bench.name.value = annotator;
      const reply = await this.ask(what, { annotator, ...question });
      // Edits for the old instruction are discarded, as on the server.
      if (reply && what === "set_instruction") this.drafts.unsent.forget({ annotator, task: reply.task });
      if (reply) this.open(reply);
    });
  }

  /**
   * Switch to another task. The drawing on the present one is stored first, for its annotator, as it may come again;
   * until that is done nothing else can be started.
   * @param {() => Promise<void>} go
   */
  async #turn(go) {
    if (!this.idle) return;
    this.phase = "storing";
    await this.drafts.settle();
    if (this.task && (this.clicks || this.bench.comment.value)) await this.drafts.now();
    this.phase = "idle";
    await go();
  }

  /** Unless it is idle nothing can be edited, as the edit would be lost, and nothing else can be started. */
  get phase() {
    return this.#phase;
  }

  set phase(phase) {
    this.#phase = phase;
    this.canvas.rest(!this.idle);
    this.bench.comment.readOnly = !this.idle;
  }

  get idle() {
    return this.phase === "idle";
  }

  get annotator() {
    return this.bench.name.value.trim();
  }

  /** Ask for a task; it may be the present one. */
  async start() {
    const before = this.task;
    await this.#turn(() => this.next());
    if (this.task !== before && this.task?.task === before?.task) this.tell(HELD);
  }

  async next() {
    if (!this.idle || !this.allowed) return;
    if (!this.annotator) {
      this.tell("Enter your name first.");
      return this.bench.name.focus();
    }
    storage.setItem(NAME_KEY, this.annotator);
    storage.setItem(ORDER_KEY, this.bench.order.value);
    const { annotator, linked } = this;
    this.linked = null;
    const reply = linked === null ? await this.ask("next_task", { annotator, order: this.bench.order.value })
      : await this.ask("open_task", { annotator, task: linked });
    if (reply) this.open(reply);
  }

  /** @param {Task} task */
  open(task) {
    this.drafts.cancel();
    this.task = task.task === null ? null : task;
    noteTask("annotate", task.task);
    const draft = task.task === null ? null
      : this.drafts.unsent.latest({ annotator: this.annotator, task: task.task, parent: task.parent, draft: task.draft });
    const saved = this.task?.saved ?? null;
    const begun = draft ?? saved;
    this.origin = draft ? (draft.origin ?? null) : (saved?.revision ?? null);
    this.clicks = draft?.clicks ?? 0;
    this.clock.start(draft?.seconds ?? 0);
    this.bench.comment.value = begun?.comment ?? "";
    this.finding.clear();
    this.canvas.show(this.task ? task.canvas : null);
    this.#beSeen();
    if (begun) this.canvas.restore(begun.objects);
    this.tell(this.task ? (task.decided ? DECIDED : task.notice) : task.progress.tasks
      ? "You have no tasks left: every open task is decided, held by somebody else or skipped by you."
      : "There are no tasks yet: import pictures below.");
    this.render(task.progress);
    if (this.task) {
      this.canvas.frame.focus({ preventScroll: true });
      comeIntoSight(this.bench.root, this.canvas.frame, this.canvas.tools);
      this.#lookAhead();
    }
    if (this.task && draft !== task.draft) this.keep();
  }

  /** The task can be decided a moment after its picture can be seen. */
  async #beSeen() {
    const { task, canvas: { frame, image } } = this;
    clearTimeout(this.looking);
    frame.dataset.seen = String(!task);
    if (!task) return;
    await image.decode().catch(console.warn); // one that cannot be decoded is shown as broken, and can be rejected
    if (this.task === task) this.looking = setTimeout(() => (frame.dataset.seen = "true"), LEAST_LOOK_MS);
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  looking = undefined;

  /**
   * Offer to undo the last decision: its task opens again, and what is decided then replaces it.
   * @param {number | null} task
   */
  offerUndo(task) {
    this.decided = task;
    this.bench.undoing.hidden = task === null;
    this.bench.undoing.replaceChildren(`Task ${task} is decided. `, button("Undo", "undo-decision", () => this.undo()));
  }

  /** @type {number | null} */
  decided = null;
  /** The task that the page's address names, until there is a name to open it for. @type {number | null} */
  linked = null;

  async undo() {
    const { decided } = this;
    if (decided === null || !this.idle) return;
    await this.take("open_task", { task: decided });
    if (this.task?.task !== decided) return;
    this.offerUndo(null);
    this.tell(`Task ${decided} is open again: what you decide now replaces your decision, as a new revision.`);
  }

  /** Load the next task's picture into this browser before it is asked for. */
  async #lookAhead() {
    const reply = await answer(() => this.server.upcoming({ annotator: this.annotator, order: this.bench.order.value }));
    if (reply?.picture) this.coming.src = reply.picture;
  }

  coming = new Image();

  edited() {
    this.clicks++;
    this.keep();
    this.render();
  }

  keep() {
    this.drafts.soon();
  }

  /** @returns {import("./drafts.js").Question | null} */
  draft() {
    if (this.task?.task == null || this.phase === "asking") return null;
    const content = { objects: this.canvas.objects, comment: this.bench.comment.value, seconds: this.clock.seconds,
      clicks: this.clicks, origin: this.origin, parent: this.task.parent };
    return { annotator: this.annotator, task: this.task.task, content };
  }

  /**
   * @param {import("./drafts.js").Question} question
   * @returns {Promise<boolean>} whether it is stored
   */
  async putDraft(question) {
    const reply = await answer(() => this.server.put_draft(question));
    const kept = Boolean(reply && !reply.failure);
    if (this.task?.task !== question.task) return kept;
    const trouble = !kept ? (reply?.failure ?? GONE) :
      reply.held ? "" : "Your lease on this task has expired; your work is saved alongside that of others.";
    // The message of a save stays until the next one.
    if (trouble || this.troubled) this.tell(trouble);
    this.troubled = Boolean(trouble);
    return kept;
  }

  /** Ask which classes there are. */
  async learnClasses() {
    const reply = await answer(() => this.server.classes({}));
    if (!reply?.classes) return;
    this.classes = reply.classes;
    this.render();
  }

  /**
   * @param {string} what
   * @param {object} question
   */
  async changeClasses(what, question) {
    const reply = await answer(() => this.server[what](question));
    if (reply?.classes) this.classes = reply.classes;
    this.render();
    return reply;
  }

  panel = classPanel((name) => {
    this.name(name);
    this.canvas.frame.focus({ preventScroll: true });
  }, () => this.editor.open(this.classes));

  editor = classEditor({
    put: (content, name) => this.changeClasses("put_class", { content, name }),
    remove: (name, in_use) => this.changeClasses("remove_class", { name, in_use }),
  });

  /** @type {import("../shared/contracts.js").ClassValue[]} */
  classes = [];

  /** Name the object, or the next one without a class. @param {string} name */
  name(name) {
    if (this.task && this.idle) this.canvas.name(name);
  }

  /** @param {string} key */
  nameByKey(key) {
    const found = this.classes.find((each) => String(each.key) === key);
    if (found) this.name(found.name);
    else this.canvas.say(`No class has the key ${key}: an admin gives classes their keys.`);
  }

  /**
   * @param {string} action
   * @param {string} [press] the key, if it was one
   */
  act(action, press = "") {
    if (action === "undo-decision") return void this.undo();
    if (!this.task || !this.idle) return;
    if (action === "fill") return this.fill(!this.bench.root.classList.contains("is-full"));
    if (action === "repeat") return this.repeat();
    if (action === "class") return this.nameByKey(press);
    if (action === "truth") return this.canvas.seeTruth();
    if (action === "take-truth") return this.canvas.takeTruth();
    if (action === "keep-found" || action === "leave-found") return this.finding.answer(action === "keep-found");
    if (this.finding.open && action !== "skip") return this.canvas.say(UNANSWERED);
    if (this.canvas.isDrawing()) return;
    if (this.canvas.frame.dataset.seen === "false" && !this.clicks) return this.canvas.say(TOO_SOON);
    if (action === "accept" || action === "save") {
      const unanswered = this.task.prediction === null;
      if (this.canvas.blank && (this.canvas.changed || unanswered)) this.rejection.open(NOTHING);
      else this.decide("accept", null);
    }
    // A task that was decided before keeps its decision.
    if (action === "skip" && this.task.decided) this.leave();
    else if (action === "skip") this.decide("skip", null);
    if (action === "reject") this.rejection.open();
    if (action === "later" || action === "earlier")
      void this.take("open_neighbour", { task: this.task.task, step: action === "later" ? 1 : -1 });
  }

  /** Add the objects of the task that was decided before this one. */
  repeat() {
    if (!this.decidedObjects.length) return this.canvas.say("No objects yet: decide a task first.");
    this.canvas.commit(addObjects(this.canvas.prompts, this.decidedObjects, this.canvas.picture));
  }

  /** Let picture and decision fill the window, or not any more. @param {boolean} full */
  fill(full) {
    this.bench.root.classList.toggle("is-full", full);
    this.bench.filler.setAttribute("aria-pressed", String(full));
  }

  /**
   * @param {string} verdict
   * @param {string | null} reason
   * @param {number | null} [parent]
   */
  async decide(verdict, reason, parent = this.task?.parent ?? null) {
    if (!this.task || !this.idle) return;
    this.phase = "asking";
    await this.drafts.settle();
    const { task, prediction } = this.task;
    const reply = await this.ask("save_decision", { annotator: this.annotator, task, verdict, reason, parent, prediction,
      origin: this.origin, objects: this.canvas.objects, comment: this.bench.comment.value, seconds: this.clock.seconds,
      clicks: this.clicks });
    if (!reply) return this.keep();
    if ("stale" in reply) {
      this.pending = { verdict, reason, parent: reply.stale };
      return this.stale.open(reply.message);
    }
    this.drafts.unsent.forget({ annotator: this.annotator, task });
    if (verdict === "accept") this.decidedObjects = this.canvas.objects;
    await this.next();
    this.offerUndo(task);
  }

  /** @param {string} choice */
  async settle(choice) {
    const { verdict, reason, parent } = /** @type {{verdict: string, reason: string | null, parent: number}} */ (
      this.pending
    );
    if (choice === "mine") return this.decide(verdict, reason, parent);
    await this.leave();
  }

  /** Discard the edits of the present task, and go on. */
  async leave() {
    const { task } = /** @type {Task} */ (this.task);
    await this.drafts.settle();
    if (!(await this.ask("drop_draft", { annotator: this.annotator, task }))) return;
    this.drafts.unsent.forget({ annotator: this.annotator, task });
    await this.next();
  }

  /**
   * Ask the server; a failure is shown, and undefined returned.
   * @param {string} what
   * @param {object} question
   * @returns {Promise<any>}
   */
  async ask(what, question) {
    this.phase = "asking";
    this.troubled = false;
    this.render();
    const patience = setTimeout(() => this.tell("Running the models …"), PATIENCE_MS);
    const reply = await this.asking.ask(what, question);
    clearTimeout(patience);
    this.phase = "idle";
    this.render(reply?.progress);
    return reply;
  }

  /** @param {string} text */
  tell(text) {
    this.asking.tell(text);
  }

  /** @param {Progress} [progress] */
  render(progress) {
    const { task } = this;
    this.bench.title.textContent = task?.instruction ?? "";
    this.bench.about.textContent = task ? `Task ${task.task} · ${task.picture_name}` : "";
    this.bench.reasoning.textContent = task?.reasoning ?? "";
    this.bench.root.classList.toggle("is-open", Boolean(task));
    this.panel.render(this.classes, this.canvas.kept);
    if (!task) this.fill(false);
    this.bench.comment.disabled = !task;
    this.bench.editor.disabled = !task || !this.idle;
    for (const each of this.bench.buttons) each.disabled = !task || !this.idle;
    const accept = /** @type {HTMLElement} */ (this.bench.buttons[0].firstElementChild);
    accept.textContent = this.canvas.changed ? "Save fix" : "Accept";
    this.bench.starter.disabled = !this.idle || !this.allowed;
    if (!progress) return;
    this.bench.meter.max = Math.max(1, progress.tasks);
    this.bench.meter.value = progress.done;
    this.bench.count.textContent = `${progress.done} of ${progress.tasks} decided · ${progress.own} by you`;
  }

  /** Whether this visitor may annotate; until that is known the server alone decides. */
  allowed = true;
  /** Those of the task that was accepted or fixed last. @type {Canvas["objects"]} */
  decidedObjects = [];
  /** The revision that the present work was started from. @type {number | null} */
  origin = null;
  /** Whether the notice is about a draft. */
  troubled = false;
  /** @type {{verdict: string, reason: string | null, parent: number} | null} */
  pending = null;
}
