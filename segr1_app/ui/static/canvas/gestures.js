/**
 * Recognises gestures in the canvas's pointer events.
 *
 * @typedef {import("./types.js").Place} Place
 *
 * The actions of gestures; positions are canvas pixels.
 * @typedef {object} GestureActions
 * @property {() => boolean} resting whether gestures are ignored at present
 * @property {() => import("./toolbar.js").Tool} tool
 * @property {(at: Place, finger: boolean) => import("./types.js").Grip | null} grip
 * @property {(at: Place, label: 0 | 1) => void} point
 * @property {(grip: import("./types.js").Grip) => void} take
 * @property {(grip: import("./types.js").Grip, from: Place, to: Place, done: boolean) => void} drag
 * @property {(from: Place, to: Place, done: boolean) => void} box
 * @property {(path: Place[], done: boolean) => void} stroke
 * @property {(at: Place, finger: boolean) => void} corner
 * @property {(path: Place[], finger: boolean, done: boolean) => void} lasso
 * @property {(by: Place) => void} pan
 * @property {(factor: number, at: Place) => void} zoom
 * @property {() => void} cancel undoes what a gesture has shown so far
 * @property {(at: Place | null) => void} hover
 *
 * What the first pointer started.
 * @typedef {{kind: "press" | "stroke" | "lasso" | "pan" | "pinch" | "spent", from: Place, last: Place,
 *   negative: boolean, finger: boolean, grip: import("./types.js").Grip | null, path: Place[], moved: boolean,
 *   hold: ReturnType<typeof setTimeout> | undefined}} Gesture
 */

const SLACK = 4; // screen pixels that a press on a mark may move without dragging it
const FINGER_SLACK = 10;
const LEAST_BOX = 8; // screen pixels of either side; anything smaller counts as a click
const FINGER_LEAST_BOX = 16;
const HOLD_MS = 450;
const WHEEL = 0.0016;

/** The gestures of the pointers on an element. */
export class Gestures {
  /** The pointers that are down, by their ids. @type {Map<number, Place>} */
  #down = new Map();
  /** @type {Gesture | null} */
  #gesture = null;
  #surface;
  #actions;
  #panning;

  /**
   * @param {HTMLElement} surface
   * @param {GestureActions} actions
   * @param {() => boolean} panning whether Space is held
   */
  constructor(surface, actions, panning) {
    this.#surface = surface;
    this.#actions = actions;
    this.#panning = panning;
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    surface.addEventListener("pointerdown", (event) => this.#press(event));
    surface.addEventListener("pointermove", (event) => this.#drag(event));
    surface.addEventListener("pointerup", (event) => this.#release(event));
    surface.addEventListener("pointercancel", (event) => {
      this.#down.delete(event.pointerId);
      this.giveUp();
      if (!this.#down.size) this.#gesture = null;
    });
    surface.addEventListener("pointerleave", () => actions.hover(null));
    surface.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Cancel the gesture under way; returns whether there was one. */
  giveUp() {
    const gesture = this.#gesture;
    if (!gesture || gesture.kind === "spent") return false;
    clearTimeout(gesture.hold);
    if (["press", "stroke", "lasso"].includes(gesture.kind)) this.#actions.cancel();
    gesture.kind = "spent";
    return true;
  }

  /** @param {MouseEvent} event @returns {Place} */
  #at(event) {
    const frame = this.#surface.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button > 2) return;
    event.preventDefault();
    this.#surface.focus({ preventScroll: true });
    if (this.#actions.resting()) return;
    this.#surface.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, this.#at(event));
    if (this.#down.size === 2) this.#startPinch();
    else if (this.#down.size === 1) this.#start(event);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const place = this.#at(event);
    const before = this.#down.get(event.pointerId);
    if (!before) return this.#actions.hover(place);
    if (this.#gesture?.kind === "pinch") this.#pinch(event.pointerId, before, place);
    this.#down.set(event.pointerId, place);
    if (this.#gesture && this.#gesture.kind !== "pinch") this.#move(this.#gesture, place, event);
    this.#actions.hover(place);
  }

  /** @param {PointerEvent} event */
  #release(event) {
    if (!this.#down.delete(event.pointerId)) return;
    if (this.#gesture && this.#gesture.kind !== "pinch") this.#finish(this.#gesture, this.#at(event));
    if (!this.#down.size) this.#gesture = null;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    // Some mice count in lines or pages: convert to pixels.
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    this.#actions.zoom(Math.exp(-WHEEL * Math.max(-300, Math.min(300, pixels))), this.#at(event));
  }

  /** @param {PointerEvent} event */
  #start(event) {
    const from = this.#at(event);
    const finger = event.pointerType === "touch";
    const tool = this.#actions.tool();
    const drawing = tool === "lasso" || tool === "cut" ? "lasso" : tool === "prompt" ? "press" : "stroke";
    const kind = this.#panning() || event.button === 1 ? "pan" : event.button === 0 ? drawing : "press";
    /** @type {Gesture} */
    const begun = {
      kind, from, last: from, finger, path: [from], moved: false,
      negative: event.button === 2 || event.shiftKey,
      grip: kind === "press" && event.button === 0 && !event.shiftKey ? this.#actions.grip(from, finger) : null,
      hold: undefined,
    };
    this.#gesture = begun;
    if (kind === "stroke") this.#actions.stroke(begun.path, false);
    if (kind === "press" && finger && !begun.grip)
      begun.hold = setTimeout(() => {
        begun.kind = "spent";
        this.#actions.point(from, 0);
      }, HOLD_MS);
  }

  /**
   * @param {Gesture} current
   * @param {Place} place
   * @param {PointerEvent} event
   */
  #move(current, place, event) {
    const far = Math.hypot(place[0] - current.from[0], place[1] - current.from[1]);
    if (far > (current.finger ? FINGER_SLACK : SLACK)) {
      current.moved = true;
      clearTimeout(current.hold);
    }
    if (current.kind === "pan") this.#actions.pan([place[0] - current.last[0], place[1] - current.last[1]]);
    if (current.kind === "stroke" || current.kind === "lasso") {
      // All positions between two frames, so that a fast stroke stays smooth.
      const between = event.getCoalescedEvents?.() ?? [];
      current.path = [...current.path, ...(between.length ? between.map((each) => this.#at(each)) : [place])];
      if (current.kind === "stroke") this.#actions.stroke(current.path, false);
      else if (current.moved) this.#actions.lasso(current.path, current.finger, false);
    }
    if (current.kind === "press" && current.grip && current.moved)
      this.#actions.drag(current.grip, current.from, place, false);
    else if (spans(current, place)) this.#actions.box(current.from, place, false);
    else if (spans(current, current.last)) this.#actions.cancel();
    current.last = place;
  }

  /**
   * @param {Gesture} current
   * @param {Place} place
   */
  #finish(current, place) {
    clearTimeout(current.hold);
    if (current.kind === "stroke") this.#actions.stroke(current.path, true);
    if (current.kind === "lasso" && current.moved) this.#actions.lasso(current.path, current.finger, true);
    else if (current.kind === "lasso") this.#actions.corner(current.from, current.finger);
    if (current.kind !== "press") return;
    if (current.grip && current.moved) this.#actions.drag(current.grip, current.from, place, true);
    else if (current.grip) this.#actions.take(current.grip);
    else if (spans(current, place)) this.#actions.box(current.from, place, true);
    else this.#actions.point(current.from, current.negative ? 0 : 1);
  }

  #startPinch() {
    this.giveUp();
    if (this.#gesture) this.#gesture.kind = "pinch";
  }

  /**
   * @param {number} id
   * @param {Place} before
   * @param {Place} now
   */
  #pinch(id, before, now) {
    const other = [...this.#down].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const apart = (/** @type {Place} */ place) => Math.max(1, Math.hypot(place[0] - other[0], place[1] - other[1]));
    this.#actions.pan([(now[0] - before[0]) / 2, (now[1] - before[1]) / 2]);
    this.#actions.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }
}

/**
 * Whether a gesture up to a position is a box: a small movement during a click is not one.
 * @param {Gesture} current
 * @param {Place} place
 */
function spans({ kind, grip, negative, finger, from }, place) {
  const least = finger ? FINGER_LEAST_BOX : LEAST_BOX;
  const sides = [0, 1].map((axis) => Math.abs(place[axis] - from[axis]));
  return kind === "press" && !grip && !negative && Math.min(...sides) >= least;
}
