/** It is long because every key of the canvas acts on the one state that it draws. */

import { h, svg } from "../shared/dom.js";
import { Gestures } from "./gestures.js";
import { helpDialog } from "./help.js";
import { History } from "./history.js";
import { LEAST_CORNERS, polygonMarks } from "./lasso.js";
import { Live } from "./live.js";
import { marksOf } from "./marks.js";
import { Masks } from "./masks.js";
import { gestureActions } from "./gesture_actions.js";
import { objectList } from "./objects.js";
import * as edit from "./prompts.js";
import { rewardLine } from "./reward.js";
import { hearKeys } from "./shortcuts.js";
import { describePrompts, describeSelection } from "./descriptions.js";
import { chosenTools, toolbar } from "./toolbar.js";
import * as viewport from "./viewport.js";
import { boxOf, encodeRle, maskAt } from "../shared/rle.js";
import { drawDashes, onScreen, pathOf } from "./shapes.js";

/**
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Prompts} Prompts
 * @typedef {import("./types.js").Size} Size
 * @typedef {import("../shared/contracts.js").CanvasValue} Value
 */

const STEP = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1],
  farLeft: [-10, 0], farRight: [10, 0], farUp: [0, -10], farDown: [0, 10] };
const PAUSE_MS = 500;
const ZOOM_STEP = 1.25;
const BRUSH_STEP = 1.25;
const MISSED = "This point did not enter the mask: add another one, or draw a box around the object.";
const CLEANED = "Small parts are removed and small holes filled, where the dashes are; C takes it back.";
const NOTHING_TO_CLEAN = "This mask has no parts and no holes that are small enough to be cleaned.";
const NOTHING_TO_SEE = "This object has neither a mask nor a box to zoom to.";
const NO_TRUTH = "This task came without a mask.";
const OPEN = "Click the first corner, or press Enter, to close the polygon; Delete takes the last corner away, Esc drops it.";
const STILL_OPEN = "A polygon is still open: Enter closes it, Esc drops it.";
const OPACITIES = [0.15, 0.28, 0.42, 0.6, 0.8];

/**
 * What a canvas needs from the tab that uses it.
 * @typedef {object} Use
 * @property {(question: object) => Promise<import("./live.js").Reply>} decode asks the server for masks
 * @property {string} empty shown in place of a picture
 * @property {import("./keys.js").Row[]} keys more keys than the canvas's own, for the list
 * @property {(action: string, press?: string) => void} act does what those keys and Ctrl+S ask for
 * @property {() => void} edited called after every edit
 */

/** The picture with its prompts and masks, for correction: every edit goes to the server, which answers with masks. */
export class Canvas {
  /** @type {Value | null} */
  value = null;
  given = edit.promptsOf([]);
  /** @type {History<Prompts>} */
  history = new History(this.given);
  /** What a gesture under way shows. @type {Prompts | null} */
  passing = null;
  /** @type {Masks} */
  masks = new Masks([1, 1], [1, 1]);
  view = { scale: 1, x: 0, y: 0 };
  /** Whether the view follows the size of the canvas. */
  fitted = true;
  /** @type {import("./toolbar.js").Tool} */
  tool = "prompt";
  /** The corners of the polygon that is being drawn. @type {Place[]} */
  polygon = [];
  brush = 1;
  /** @type {Place | null} */
  pointer = null;
  space = false;
  /** Whether edits are blocked. */
  resting = false;
  look = { masks: true, marks: true, outline: false, opacity: 2, truth: false };
  /** The outline of the ground-truth mask at the live size. @type {Path2D | null} */
  truth = null;
  drawn = 0;
  /** The class of new objects: the last that an object was given. */
  kept = "";
  /** The id of the object that `name` named last, unless another one was chosen since. @type {number | null} */
  named = null;

  /**
   * @param {HTMLElement} element which it fills
   * @param {Use} use
   */
  constructor(element, use) {
    this.element = element;
    this.use = use;
    this.image = h("img", { class: "stage-picture", alt: "", draggable: "false" });
    this.sheet = h("canvas", { class: "stage-masks", "aria-hidden": "true" });
    this.marks = svg("svg", { class: "stage-marks", "aria-hidden": "true" });
    this.cursor = svg("circle", { class: "stage-brush", r: 0 });
    this.frame = h(
      "div",
      { class: "stage-frame", tabindex: "0", role: "application", "aria-roledescription": "canvas",
        "aria-label": "Picture with prompts. Press question mark for the keys; Escape, then Tab, leaves." },
      this.image,
      this.sheet,
      this.marks,
      svg("svg", { class: "stage-cursor", "aria-hidden": "true" }, this.cursor),
    );
    this.empty = h("p", { class: "stage-empty" }, use.empty);
    this.status = h("p", { class: "stage-status", role: "status" });
    this.foot = h("div", { class: "stage-foot" }, this.status);
    this.help = helpDialog(use.keys);
    this.bar = toolbar((action) => this.act(action));
    this.list = objectList({
      activate: (index) => {
        this.named = null;
        if (index !== this.prompts.active) this.choose(edit.activate(this.prompts, index));
      },
      rename: (index, name) => {
        this.kept = name;
        this.commit(edit.rename(this.prompts, index, name));
      },
      add: () => this.act("newObject"),
      leave: (saves) => {
        this.frame.focus({ preventScroll: true });
        if (saves) this.act("save");
      },
    });
    this.handy = chosenTools((action) => {
      this.act(action);
      // The button itself disappears with what it removed.
      if (action === "remove" || action === "removeObject") this.frame.focus({ preventScroll: true });
    });
    this.list.element.append(this.handy.element);
    this.reward = rewardLine();
    this.tools = h("div", { class: "stage-tools" }, this.bar.element, this.list.element, this.reward.element,
      this.foot);
    element.replaceChildren(h("div", { class: "stage-mat" }, this.frame, this.empty), this.tools, this.help);

    this.live = new Live(use.decode, (state, reply) => this.answered(state, reply));
    this.hand = new Gestures(this.frame, gestureActions(this), () => this.space);
    hearKeys(this);
    new ResizeObserver(() => this.resized()).observe(this.frame);
  }

  /** @param {Value | null} value */
  show(value) {
    this.live.forget();
    clearTimeout(this.pausing);
    this.frame.removeAttribute("aria-busy");
    const another = value?.key !== this.value?.key;
    this.value = value;
    this.passing = null;
    this.given = edit.promptsOf(value?.objects ?? [], this.kept);
    this.named = null;
    this.polygon = [];
    this.history = new History(this.given);
    this.masks = new Masks(value?.image_size ?? [1, 1], value?.live_size ?? [1, 1]);
    value?.objects.forEach(({ mask }, index) => this.masks.put(this.prompts.objects[index], { rle: mask }));
    this.truth = value?.truth ? pathOf(maskAt(value.truth, ...value.live_size), value.live_size) : null;
    this.frame.hidden = !value;
    this.empty.hidden = Boolean(value);
    this.tools.classList.toggle("is-idle", !value);
    this.say("");
    this.reward.render(null);
    if (value) {
      const [width, height] = value.image_size;
      if (this.image.getAttribute("src") !== value.picture.url) this.image.setAttribute("src", value.picture.url);
      Object.assign(this.image.style, { width: `${width}px`, height: `${height}px` });
      if (another) {
        this.fitted = true;
        this.tool = "prompt";
        this.brush = Math.max(1, Math.round(Math.max(width, height) / 50));
      }
      this.resized();
      // Asked even without prompts: it has the picture encoded before the first click.
      this.send(false);
    }
    this.render();
  }

  /**
   * Continue from a stored state; the given one stays one step of undo away.
   * @param {import("./types.js").GivenObject[]} objects
   */
  restore(objects) {
    this.history.commit(edit.promptsOf(objects));
    objects.forEach(({ mask }, index) => mask !== undefined &&
      this.masks.put(this.prompts.objects[index], { rle: mask }));
    this.send(false);
    this.draw();
  }

  /**
   * Block edits for a while, and cancel the gesture under way: it would be part neither of what is being saved nor of
   * what comes next.
   * @param {boolean} resting
   */
  rest(resting) {
    if (resting) this.hand.giveUp();
    this.resting = resting;
    this.frame.setAttribute("aria-disabled", String(resting));
    for (const part of [this.bar.element, this.list.element]) part.inert = resting;
  }

  /** Whether it differs from what was given. */
  get changed() {
    return !edit.isSameWork(this.given, this.prompts);
  }

  /** The present state as it is sent to the server. */
  get objects() {
    return sent(this.prompts);
  }

  /** Whether there is nothing that a mask could come from. */
  get blank() {
    return this.prompts.objects.every(edit.isBlank);
  }

  get prompts() {
    return this.history.present;
  }

  /** @returns {Size} */
  get picture() {
    return this.value?.image_size ?? [1, 1];
  }

  /** @returns {Size} */
  get area() {
    return [this.frame.clientWidth, this.frame.clientHeight];
  }

  /** An edit: it can be undone and is sent. @param {Prompts} prompts */
  commit(prompts) {
    this.passing = null;
    if (prompts !== this.prompts) {
      this.say("");
      this.reveal();
      this.history.commit(prompts);
      this.send(false);
      this.use.edited();
    }
    this.draw();
  }

  /** Name the active object, or, called again, the next one without a class. @param {string} name */
  name(name) {
    if (!this.value || this.resting) return;
    const { named } = this;
    this.kept = name;
    this.commit(edit.nameNext(this.prompts, name, named));
    this.named = edit.activeObject(this.prompts).id;
  }

  /** Not an edit, only another selection or active object. @param {Prompts} prompts */
  choose(prompts) {
    this.named = null;
    this.history.amend(prompts);
    this.draw();
  }

  /** @param {boolean} passing */
  send(passing) {
    if (!this.value) return;
    const state = this.passing ?? this.prompts;
    this.frame.setAttribute("aria-busy", "true");
    clearTimeout(this.pausing);
    this.live.send(state, { picture: this.value.key, objects: sent(state) }, passing);
  }

  /**
   * @param {Prompts} state
   * @param {import("./live.js").Reply} reply
   */
  answered(state, { rev, masks, reward, failure }) {
    if (failure) this.say(failure);
    if (masks) masks.forEach((mask, index) => this.masks.put(state.objects[index], mask));
    this.reward.render(reward ?? null);
    if (this.drawn) cancelAnimationFrame(this.drawn);
    this.render();
    if (masks && rev === this.live.rev && !this.passing) this.#tell(state);
    // Not before the masks can be seen.
    if (rev === this.live.rev) this.frame.setAttribute("aria-busy", "false");
    if (rev === this.live.rev && reward?.total != null && !reward.exact)
      this.pausing = setTimeout(() => this.scoreExactly(state), PAUSE_MS);
  }

  /** Say what the last edit did where that is easily overlooked. @param {Prompts} state */
  #tell(state) {
    if (this.#missed(state)) return this.say(MISSED);
    const object = edit.activeObject(state);
    const before = this.history.past.at(-1)?.objects.find(({ id }) => id === object.id);
    if (object.clean && before && !before.clean) this.say(this.masks.cleaned(object) ? CLEANED : NOTHING_TO_CLEAN);
  }

  /** Whether the selected point is positive, and not in its object's mask. @param {Prompts} state */
  #missed(state) {
    const object = edit.activeObject(state);
    const point = state.mark?.kind === "point" ? object.points[state.mark.index] : null;
    if (point?.label !== 1) return false;
    const { size, picture } = this.masks;
    const [column, row] = [point.x, point.y].map((place, axis) =>
      Math.min(size[axis] - 1, Math.floor((place * size[axis]) / picture[axis])));
    return !this.masks.of(object)?.[row * size[0] + column];
  }

  /** Masks of the picture's own size take too long for every edit. @param {Prompts} state */
  scoreExactly(state) {
    if (this.value) this.live.send(state, { picture: this.value.key, objects: sent(state), exact: true }, true);
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  pausing = undefined;

  /** @param {import("./keys.js").Action | "marks"} action */
  act(action) {
    if (!this.value || this.resting) return;
    const { prompts, picture, area } = this;
    const middle = /** @type {Place} */ ([area[0] / 2, area[1] / 2]);
    const centre = edit.settle(viewport.toPicture(this.view, middle), picture);
    switch (action) {
      case "flip": return this.commit(edit.flip(prompts));
      case "remove": return this.commit(edit.removeMark(prompts));
      case "removeObject": return this.commit(edit.removeObject(prompts));
      case "pointInside": return this.commit(edit.addPoint(prompts, centre, 1));
      case "pointOutside": return this.commit(edit.addPoint(prompts, centre, 0));
      case "next": return this.choose(edit.cycle(prompts, 1));
      case "previous": return this.choose(edit.cycle(prompts, -1));
      case "nextMark": case "previousMark":
        this.choose(edit.cycleMarks(prompts, action === "nextMark" ? 1 : -1));
        return this.say(describeSelection(this.prompts));
      case "newObject": return this.choose(edit.newObject(prompts, this.kept));
      case "duplicate": return this.commit(edit.duplicate(prompts));
      case "refine": return this.refine();
      case "clean": return this.commit(edit.toggleClean(prompts));
      case "clear": return this.commit(edit.clearPrompts(prompts));
      case "answer": return edit.isSameWork(this.given, prompts) ? undefined : this.commit({ ...this.given });
      case "undo": return this.history.undo() && this.returned();
      case "redo": return this.history.redo() && this.returned();
      case "prompt": case "brush": case "eraser": case "lasso": case "cut":
        this.tool = action;
        return this.open([]);
      case "smaller": case "larger":
        this.brush = Math.max(0.5, Math.min(Math.max(...picture) / 2,
          this.brush * (action === "larger" ? BRUSH_STEP : 1 / BRUSH_STEP)));
        return this.draw();
      case "fit":
        this.lookAt(viewport.fit(picture, area));
        this.fitted = true;
        return;
      case "fitObject": return this.fitObject();
      case "oneToOne": return this.lookAt(viewport.oneToOne(this.view, picture, area));
      case "zoomIn": return this.lookAt(viewport.zoom(this.view, ZOOM_STEP, middle, picture, area));
      case "zoomOut": return this.lookAt(viewport.zoom(this.view, 1 / ZOOM_STEP, middle, picture, area));
      case "fainter": return this.see({ opacity: Math.max(0, this.look.opacity - 1), outline: false, masks: true });
      case "stronger": return this.see({ opacity: Math.min(OPACITIES.length - 1, this.look.opacity + 1),
        outline: false, masks: true });
      case "outline": return this.see({ outline: !this.look.outline, masks: true });
      case "hide": return this.see({ masks: !this.look.masks });
      case "marks": return this.see({ marks: !this.look.marks });
      case "save": return this.use.act("save");
      case "leave":
        if (this.hand.giveUp()) return;
        if (this.polygon.length) return this.open([]);
        this.choose({ ...prompts, mark: null });
        return this.frame.blur();
      case "help": return this.help.showModal();
      default: return this.commit(edit.nudge(prompts, /** @type {Place} */ (STEP[action]), picture));
    }
  }

  /** What changes the mask is never invisible: an edit shows again what was hidden. */
  reveal() {
    Object.assign(this.look, { masks: true, marks: true });
  }

  returned() {
    this.say("");
    this.passing = null;
    this.reveal();
    this.send(false);
    this.use.edited();
    this.draw();
  }

  refine() {
    const mask = this.masks.of(edit.activeObject(this.prompts));
    if (mask?.includes(1)) this.commit(edit.refineFrom(this.prompts, encodeRle(mask, ...this.masks.size)));
  }

  /** Zoom to the mask of the active object, or to its box before it has a mask. */
  fitObject() {
    const { masks: { size }, picture } = this;
    const object = edit.activeObject(this.prompts);
    const mask = this.masks.of(object);
    const inMask = mask && boxOf(mask, size);
    const box = inMask
      ? /** @type {import("./types.js").Box} */ (inMask.map((edge, at) => (edge * picture[at % 2]) / size[at % 2]))
      : object.box;
    if (!box) return this.say(NOTHING_TO_SEE);
    this.lookAt(viewport.fitBox(box, picture, this.area));
  }

  /** Draw a polygon from these corners on; none drops it. @param {Place[]} polygon */
  open(polygon) {
    if (polygon.length || this.polygon.length) this.say(polygon.length ? OPEN : "");
    this.polygon = polygon;
    if (polygon.length) this.reveal();
    this.draw();
  }

  /** Whether a polygon is still open, which is then said: what is saved now would not have it. */
  isDrawing() {
    if (this.polygon.length) this.say(STILL_OPEN);
    return this.polygon.length > 0;
  }

  /** Add or cut the area of the polygon. */
  close() {
    if (this.polygon.length < LEAST_CORNERS) return this.say(OPEN);
    const path = this.polygon;
    this.polygon = [];
    this.commit(edit.addStroke(this.prompts, { erase: this.tool === "cut", radius: null, path }));
  }

  /** Show the ground-truth mask as an outline, or not any more. */
  seeTruth() {
    if (!this.truth) return this.say(NO_TRUTH);
    this.see({ truth: !this.look.truth });
  }

  /** Start from the ground-truth mask: it takes the place of all objects, which one step of undo brings back. */
  takeTruth() {
    const { truth, image_size: size } = /** @type {Value} */ (this.value);
    if (!truth) return this.say(NO_TRUTH);
    const mask = maskAt(truth, ...size);
    const box = boxOf(mask, size);
    if (!box) return this.say("The imported mask is empty.");
    const erased = encodeRle(mask.map((inside) => 1 - inside), ...size);
    this.commit(edit.startFrom(this.prompts, { box, painted: truth, erased }));
  }

  /** @param {import("./types.js").View} view */
  lookAt(view) {
    this.view = view;
    this.fitted = false;
    this.draw();
  }

  /** @param {Partial<Canvas["look"]>} changed */
  see(changed) {
    Object.assign(this.look, changed);
    this.draw();
  }

  /** @param {boolean} space */
  hold(space) {
    this.space = space;
    if (space) this.frame.style.cursor = "";
    this.frame.classList.toggle("is-panning", space);
  }

  /** The cursor over the picture; an empty one leaves it to the tool. @param {string} cursor */
  point(cursor) {
    this.frame.style.cursor = this.space || this.resting ? "" : cursor;
  }

  /** @param {string} text */
  say(text) {
    this.status.textContent = text;
  }

  resized() {
    const [width, height] = this.area;
    if (!this.value || !width || !height) return;
    const ratio = devicePixelRatio;
    Object.assign(this.sheet, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (this.fitted) this.view = viewport.fit(this.picture, this.area);
    this.draw();
  }

  /** Render before the next frame, once however often it is requested. */
  draw() {
    if (!this.drawn) this.drawn = requestAnimationFrame(() => this.render());
  }

  render() {
    this.drawn = 0;
    const { value, view, look } = this;
    const shown = this.passing ?? this.prompts;
    this.bar.render({
      tool: this.tool, masks: look.masks, marks: look.marks, outline: look.outline, idle: !value,
      canUndo: this.history.past.length > 0, canRedo: this.history.future.length > 0,
      canRefine: Boolean(this.masks.of(edit.activeObject(shown))), clean: edit.activeObject(shown).clean,
    });
    if (!value) return;
    const brushing = this.tool === "brush" || this.tool === "eraser";
    this.handy.render(shown.mark, brushing);
    const colour = (/** @type {number} */ index) => value.palette[index % value.palette.length];
    this.list.render(shown, colour);
    this.image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    this.image.classList.toggle("is-pixelated", view.scale >= 4);
    this.image.alt = describePrompts(shown, value.title);
    this.sheet.classList.toggle("is-hidden", !look.masks);
    this.marks.classList.toggle("is-hidden", !look.marks);
    const context = /** @type {CanvasRenderingContext2D} */ (this.sheet.getContext("2d"));
    this.masks.draw(context, shown.objects, view, colour, value.casing, {
      opacity: OPACITIES[look.opacity], fill: !look.outline,
    });
    for (const path of [this.masks.cleaned(edit.activeObject(shown)), look.truth ? this.truth : null])
      if (path) drawDashes(context, path, onScreen(view, value.image_size, value.live_size), value.casing);
    this.marks.replaceChildren(...marksOf(shown, view, colour, value.casing),
      ...polygonMarks(this.polygon, view, this.pointer, value.casing));
    this.frame.dataset.tool = this.tool;
    const [x, y] = this.pointer ?? [0, 0];
    const radius = this.pointer && brushing ? this.brush * view.scale : 0;
    for (const [name, at] of Object.entries({ cx: x, cy: y, r: radius })) this.cursor.setAttribute(name, String(at));
  }
}

/** A state as it is sent to the server. @param {Prompts} prompts */
function sent({ objects }) {
  return objects.map(({ box, points, name, strokes, start, painted, erased, clean }) =>
    ({ box, points, name, strokes, start, painted, erased, clean }));
}
