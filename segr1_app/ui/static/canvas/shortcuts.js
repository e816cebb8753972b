import { actionOf, pressOf } from "./keys.js";

/**
 * The part of a canvas that handles keys.
 * @typedef {object} Listener
 * @property {HTMLElement} element with all that belongs to the canvas
 * @property {HTMLElement} frame with the picture
 * @property {unknown} value what is on it; without it, no key is for this canvas
 * @property {import("./types.js").Prompts} prompts
 * @property {import("./types.js").Place | null} pointer while it is over the picture
 * @property {{keys: import("./keys.js").Row[], act: (action: string, press?: string) => void}} use
 * @property {(action: import("./keys.js").Action) => void} act
 * @property {import("./types.js").Place[]} polygon the corners of the one that is being drawn
 * @property {(polygon: import("./types.js").Place[]) => void} open
 * @property {() => void} close
 * @property {(space: boolean) => void} hold
 * @property {boolean} space whether it is held
 */

const TYPED_INTO = "input, textarea, dialog, [contenteditable]:not([contenteditable='false'])";
const PRESSED = "button, a[href], summary, [role='button'], [role='tab'], [role='option']";

const POLYGON_KEYS = ["Enter", "Delete", "Backspace", "Ctrl+z"];

/** @type {Listener[]} */
const listeners = [];

/**
 * From now on a canvas gets the keys of the whole page, while it is visible and nothing is typed elsewhere: nobody has
 * to click on the picture first, where a click is an edit.
 * @param {Listener} listener
 */
export function hearKeys(listener) {
  listeners.push(listener);
}

document.addEventListener("keydown", (event) => {
  const listener = listeners.find(({ element, value }) => value && element.checkVisibility());
  if (!listener) return;
  if (isPan(listener, event)) {
    // Not the button that was pressed last, and no scrolling.
    event.preventDefault();
    return listener.hold(true);
  }
  if (!isTaken(event)) press(listener, event);
});
document.addEventListener("keyup", (event) => {
  if (event.key !== " ") return;
  // A button that has the focus is pressed when Space comes up.
  if (listeners.some(({ space }) => space)) event.preventDefault();
  letGo();
});
window.addEventListener("blur", letGo);

function letGo() {
  for (const listener of listeners) listener.hold(false);
}

/**
 * Whether Space grabs the picture: wherever the focus is, as long as the pointer is over it or it has the focus
 * itself, and nothing is typed.
 * @param {Listener} listener
 * @param {KeyboardEvent} event
 */
function isPan({ frame, pointer }, event) {
  const { target, key } = event;
  if (key !== " " || event.defaultPrevented || event.isComposing || !(target instanceof Element)) return false;
  if (target.closest(`${TYPED_INTO}, select`) || document.querySelector("dialog[open]")) return false;
  return target === frame || pointer !== null;
}

/**
 * Whether a key press is meant for something other than a canvas.
 * @param {KeyboardEvent} event
 */
function isTaken(event) {
  const { target, key } = event;
  if (event.defaultPrevented || event.isComposing || !(target instanceof Element)) return true;
  if (target.closest(TYPED_INTO) || document.querySelector("dialog[open]")) return true;
  // A list of choices keeps the keys that move in it and open it; letters are for the canvas.
  if (target.closest("select") && (key.length > 1 || key === " ")) return true;
  return (key === "Enter" || key === " ") && target.closest(PRESSED) !== null;
}

/**
 * @param {Listener} listener
 * @param {KeyboardEvent} event
 */
function press(listener, event) {
  const { element, frame, prompts, use } = listener;
  const target = /** @type {Element} */ (event.target);
  const onCanvas = target === frame;
  // Any other focused element is scrolled by these.
  const isLoose = onCanvas || target === document.body || element.contains(target);
  // While a polygon is drawn, these are about it, and decide no task.
  if (listener.polygon.length && POLYGON_KEYS.includes(pressOf(event))) {
    event.preventDefault();
    if (event.key === "Enter") return listener.close();
    return listener.open(listener.polygon.slice(0, -1));
  }
  const more = use.keys.find(({ on = [] }) => on.includes(pressOf(event)));
  const action = actionOf(event);
  // A key that is held down decides one task, and not each one that follows.
  if (event.repeat && (more || action === "save")) return event.preventDefault();
  if (more?.action) {
    event.preventDefault();
    return use.act(more.action, pressOf(event));
  }
  if (!action) return;
  // Elsewhere, and with one object only, Tab moves on through the page.
  if (event.key === "Tab" && (!onCanvas || prompts.objects.length < 2)) return;
  if (event.key.startsWith("Arrow") && !onCanvas && !(isLoose && prompts.mark)) return;
  event.preventDefault();
  listener.act(action);
}
