/**
 * Recognises gestures in the canvas's pointer events.
 *
 * @typedef {import("./types.js").Place} Place
 *
 * The actions of gestures; positions are canvas pixels.
 * @typedef {object} GestureActions
 * @property {() => boolean} resting whether gestures are ignored at present
 * @property {() => "prompt" | "brush" | "eraser"} tool
 * @property {(at: Place, finger: boolean) => import("./types.js").Grip | null} grip
 * @property {(at: Place, label: 0 | 1) => void} point
 * @property {(grip: import("./types.js").Grip) => void} take
 * @property {(grip: import("./types.js").Grip, from: Place, to: Place, done: boolean) => void} drag
 * @property {(from: Place, to: Place, done: boolean) => void} box
 * @property {(path: Place[], done: boolean) => void} stroke
 * @property {(by: Place) => void} pan
 * @property {(factor: number, at: Place) => void} zoom
 * @property {() => void} cancel undoes what a gesture has shown so far
 * @property {(at: Place | null) => void} hover
 *
 * What the first pointer started.
 * @typedef {{kind: "press" | "stroke" | "pan" | "pinch" | "spent", from: Place, last: Place, negative: boolean,
 *   finger: boolean, grip: import("./types.js").Grip | null, path: Place[], moved: boolean,
 *   hold: ReturnType<typeof setTimeout> | undefined}} Gesture
 */

const SLACK = 4; // screen pixels that a press on a mark may move without dragging it
const FINGER_SLACK = 10;
const LEAST_BOX = 8; // screen pixels of either side; anything smaller counts as a click
const FINGER_LEAST_BOX = 16;
const HOLD_MS = 450;
const WHEEL = 0.0016;

/**
 * @param {HTMLElement} surface
 * @param {GestureActions} actions
 * @param {() => boolean} panning whether Space is held
 * @returns {{giveUp: () => boolean}} cancels the gesture under way; returns whether there was one
 */
export function listen(surface, actions, panning) {
  /** @type {Map<number, Place>} */
  const down = new Map();
  /** @type {Gesture | null} */
  let gesture = null;

  const at = (/** @type {MouseEvent} */ event) => {
    const frame = surface.getBoundingClientRect();
    return /** @type {Place} */ ([event.clientX - frame.left, event.clientY - frame.top]);
  };

  surface.addEventListener("contextmenu", (event) => event.preventDefault());
  surface.addEventListener("pointerdown", (event) => {
    if (event.button > 2) return;
    event.preventDefault();
    surface.focus({ preventScroll: true });
    if (actions.resting()) return;
    surface.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    if (down.size === 2) startPinch();
    else if (down.size === 1) start(event);
  });
  surface.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (!down.has(event.pointerId)) return actions.hover(place);
    const before = /** @type {Place} */ (down.get(event.pointerId));
    if (gesture?.kind === "pinch") pinch(event.pointerId, before, place);
    down.set(event.pointerId, place);
    if (gesture && gesture.kind !== "pinch") move(gesture, place, event);
    actions.hover(place);
  });
  surface.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId)) return;
    if (gesture && gesture.kind !== "pinch") finish(gesture, at(event));
    if (!down.size) gesture = null;
  });
  surface.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    abandon();
    if (!down.size) gesture = null;
  });
  surface.addEventListener("pointerleave", () => actions.hover(null));
  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // Some mice count in lines or pages: convert to pixels.
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      actions.zoom(Math.exp(-WHEEL * Math.max(-300, Math.min(300, pixels))), at(event));
    },
    { passive: false },
  );

  return { giveUp: abandon };

  /** @param {PointerEvent} event */
  function start(event) {
    const from = at(event);
    const finger = event.pointerType === "touch";
    const painting = actions.tool() !== "prompt" && event.button === 0;
    const kind = panning() || event.button === 1 ? "pan" : painting ? "stroke" : "press";
    gesture = {
      kind, from, last: from, finger, path: [from], moved: false,
      negative: event.button === 2 || event.shiftKey,
      grip: kind === "press" && event.button === 0 && !event.shiftKey ? actions.grip(from, finger) : null,
      hold: undefined,
    };
    const begun = gesture;
    if (kind === "stroke") actions.stroke(begun.path, false);
    if (kind === "press" && finger && !begun.grip)
      begun.hold = setTimeout(() => {
        begun.kind = "spent";
        actions.point(from, 0);
      }, HOLD_MS);
  }

  /**
   * @param {Gesture} current
   * @param {Place} place
   * @param {PointerEvent} event
   */
  function move(current, place, event) {
    const far = Math.hypot(place[0] - current.from[0], place[1] - current.from[1]);
    if (far > (current.finger ? FINGER_SLACK : SLACK)) {
      current.moved = true;
      clearTimeout(current.hold);
    }
    if (current.kind === "pan") actions.pan([place[0] - current.last[0], place[1] - current.last[1]]);
    if (current.kind === "stroke") {
      // All positions between two frames, so that a fast stroke stays smooth.
      const between = event.getCoalescedEvents?.() ?? [];
      current.path = [...current.path, ...(between.length ? between.map(at) : [place])];
      actions.stroke(current.path, false);
    }
    if (current.kind === "press" && current.grip && current.moved)
      actions.drag(current.grip, current.from, place, false);
    else if (spans(current, place)) actions.box(current.from, place, false);
    else if (spans(current, current.last)) actions.cancel();
    current.last = place;
  }

  /**
   * @param {Gesture} current
   * @param {Place} place
   */
  function finish(current, place) {
    clearTimeout(current.hold);
    if (current.kind === "stroke") actions.stroke(current.path, true);
    if (current.kind !== "press") return;
    if (current.grip && current.moved) actions.drag(current.grip, current.from, place, true);
    else if (current.grip) actions.take(current.grip);
    else if (spans(current, place)) actions.box(current.from, place, true);
    else actions.point(current.from, current.negative ? 0 : 1);
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

  /** @returns {boolean} whether there was something to cancel */
  function abandon() {
    if (!gesture || gesture.kind === "spent") return false;
    clearTimeout(gesture.hold);
    if (gesture.kind === "press" || gesture.kind === "stroke") actions.cancel();
    gesture.kind = "spent";
    return true;
  }

  function startPinch() {
    abandon();
    if (gesture) gesture.kind = "pinch";
  }

  /**
   * @param {number} id
   * @param {Place} before
   * @param {Place} now
   */
  function pinch(id, before, now) {
    const other = [...down].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const apart = (/** @type {Place} */ place) => Math.max(1, Math.hypot(place[0] - other[0], place[1] - other[1]));
    actions.pan([(now[0] - before[0]) / 2, (now[1] - before[1]) / 2]);
    actions.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }
}
