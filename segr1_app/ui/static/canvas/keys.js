/**
 * Every gesture and key of the canvas, as data: the list that `?` shows is made from it, and so are the shortcuts.
 *
 * `on` lists the key presses that trigger `action`: a key in KeyboardEvent's spelling (letters in lower case), with the
 * modifiers before it. Rows without it are gestures of the pointer.
 * @typedef {{group: string, keys: string, does: string, action?: string, on?: string[]}} Row
 * @typedef {"flip" | "remove" | "removeObject" | "left" | "right" | "up" | "down" | "farLeft" | "farRight" | "farUp"
 *   | "farDown" | "nextMark" | "previousMark" | "pointInside" | "pointOutside" | "next" | "previous" | "newObject"
 *   | "refine" | "clean" | "undo" | "redo" | "prompt" | "brush" | "eraser" | "lasso" | "cut" | "smaller" | "larger"
 *   | "fit" | "fitObject" | "oneToOne" | "zoomIn" | "zoomOut" | "fainter" | "stronger" | "clear" | "answer"
 *   | "duplicate" | "outline" | "hide" | "save" | "leave" | "help"} Action
 */

/** @type {Row[]} */
export const KEYS = [
  { group: "Pointer", keys: "Click", does: "positive point: inside the object" },
  { group: "Pointer", keys: "Right click, Shift+Click", does: "negative point: outside the object" },
  { group: "Pointer", keys: "Drag", does: "box around the object" },
  { group: "Pointer", keys: "Drag a point", does: "move it" },
  { group: "Pointer", keys: "Drag an edge or a corner", does: "move that side of the box" },
  { group: "Pointer", keys: "Wheel", does: "zoom at the pointer" },
  { group: "Pointer", keys: "Space+Drag, Middle button", does: "move the picture" },
  { group: "Touch", keys: "Tap, Hold", does: "positive point, negative point" },
  { group: "Touch", keys: "Two fingers", does: "zoom and move the picture" },

  { group: "Points and boxes", keys: "M", does: "select the next point or box of the object", action: "nextMark",
    on: ["m"] },
  { group: "Points and boxes", keys: "Shift+M", does: "select the previous one", action: "previousMark", on: ["Shift+m"] },
  { group: "Points and boxes", keys: "F", does: "flip the selected point", action: "flip", on: ["f"] },
  { group: "Points and boxes", keys: "Delete", does: "remove the selected point or box", action: "remove",
    on: ["Delete", "Backspace"] },
  { group: "Points and boxes", keys: "←", does: "move left by one pixel; with Shift by ten", action: "left",
    on: ["ArrowLeft"] },
  { group: "Points and boxes", keys: "→", does: "move right", action: "right", on: ["ArrowRight"] },
  { group: "Points and boxes", keys: "↑", does: "move up", action: "up", on: ["ArrowUp"] },
  { group: "Points and boxes", keys: "↓", does: "move down", action: "down", on: ["ArrowDown"] },
  { group: "Points and boxes", keys: "W", does: "clear the object's points and box", action: "clear", on: ["w"] },
  { group: "Points and boxes", keys: "P", does: "positive point in the middle of the canvas", action: "pointInside",
    on: ["p"] },
  { group: "Points and boxes", keys: "Shift+P", does: "negative point there", action: "pointOutside", on: ["Shift+p"] },

  { group: "Objects", keys: "Tab", does: "next object", action: "next", on: ["Tab"] },
  { group: "Objects", keys: "Shift+Tab", does: "previous object", action: "previous", on: ["Shift+Tab"] },
  { group: "Objects", keys: "N", does: "new object", action: "newObject", on: ["n"] },
  { group: "Objects", keys: "Shift+N", does: "a copy of the object", action: "duplicate", on: ["Shift+n"] },
  { group: "Objects", keys: "Shift+Delete", does: "remove the object", action: "removeObject",
    on: ["Shift+Delete", "Shift+Backspace"] },
  { group: "Objects", keys: "R", does: "refine this mask with SAM2", action: "refine", on: ["r"] },
  { group: "Objects", keys: "C", does: "clean the mask: remove small parts, fill small holes; again takes it back",
    action: "clean", on: ["c"] },

  { group: "Painting", keys: "B", does: "brush", action: "brush", on: ["b"] },
  { group: "Painting", keys: "E", does: "eraser", action: "eraser", on: ["e"] },
  { group: "Painting", keys: "L", does: "lasso: drag around an area to add it, or click the corners of a polygon",
    action: "lasso", on: ["l"] },
  { group: "Painting", keys: "Shift+L", does: "the same to cut an area away", action: "cut", on: ["Shift+l"] },
  { group: "Painting", keys: "Double click, Enter",
    does: "close the polygon, like a click on its first corner; Delete takes a corner back" },
  { group: "Painting", keys: "V", does: "back to points and boxes", action: "prompt", on: ["v"] },
  { group: "Painting", keys: "[", does: "smaller brush", action: "smaller", on: ["["] },
  { group: "Painting", keys: "]", does: "larger brush", action: "larger", on: ["]"] },

  { group: "View", keys: "0", does: "whole picture", action: "fit", on: ["0"] },
  { group: "View", keys: "G", does: "the object, as large as fits", action: "fitObject", on: ["g"] },
  { group: "View", keys: "Z", does: "one picture pixel per screen pixel", action: "oneToOne", on: ["z"] },
  { group: "View", keys: "+", does: "zoom in", action: "zoomIn", on: ["+", "="] },
  { group: "View", keys: "−", does: "zoom out", action: "zoomOut", on: ["-"] },
  { group: "View", keys: ",", does: "more transparent mask", action: "fainter", on: [","] },
  { group: "View", keys: ".", does: "more opaque mask", action: "stronger", on: ["."] },
  { group: "View", keys: "O", does: "outline only", action: "outline", on: ["o"] },
  { group: "View", keys: "H", does: "hide the masks", action: "hide", on: ["h"] },

  { group: "Work", keys: "Ctrl+Z", does: "undo", action: "undo", on: ["Ctrl+z"] },
  { group: "Work", keys: "Ctrl+Shift+Z, Ctrl+Y", does: "redo", action: "redo", on: ["Ctrl+Shift+z", "Ctrl+y"] },
  { group: "Work", keys: "Q", does: "back to the model's answer, which undo takes back", action: "answer", on: ["q"] },
  { group: "Work", keys: "Ctrl+S", does: "save", action: "save", on: ["Ctrl+s"] },
  { group: "Work", keys: "Esc", does: "cancel a drag; clear the selection, then Tab leaves the canvas", action: "leave",
    on: ["Escape"] },
  { group: "Work", keys: "?", does: "this list", action: "help", on: ["?"] },
];

/** The same presses with Shift held, which the list names in the plain key's row. */
const FAR = /** @type {const} */ ([
  ["Shift+ArrowLeft", "farLeft"], ["Shift+ArrowRight", "farRight"], ["Shift+ArrowUp", "farUp"],
  ["Shift+ArrowDown", "farDown"],
]);

/** @type {Map<string, Action>} */
const ACTIONS = new Map([
  ...KEYS.flatMap(({ on = [], action }) =>
    on.map((press) => /** @type {[string, Action]} */ ([press, /** @type {Action} */ (action)])),
  ),
  ...FAR.map(([press, action]) => /** @type {[string, Action]} */ ([press, action])),
]);

/**
 * @typedef {{key: string, code?: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean}} Press
 */

/**
 * The action of a key press, if any. Ctrl and Command are the same; Alt belongs to the browser.
 * @param {Press} event
 * @returns {Action | undefined}
 */
export function actionOf(event) {
  return ACTIONS.get(pressOf(event));
}

/**
 * The Latin letter of a press. On a keyboard that writes another alphabet it is the one on that position of a US keyboard,
 * by which such keyboards are labelled, too; other characters and digits stay unchanged.
 * @param {Press} event
 */
function latin({ key, code = "" }) {
  const [, letter] = /^Key([A-Z])$/.exec(code) ?? [];
  const foreign = key.length === 1 && /\p{L}/u.test(key) && !/\p{Script=Latin}/u.test(key);
  return letter && foreign ? letter.toLowerCase() : key;
}

/**
 * A press as `on` spells it; empty for one that belongs to the browser.
 * @param {Press} event
 * @returns {string}
 */
export function pressOf(event) {
  const { ctrlKey, metaKey, shiftKey, altKey } = event;
  if (altKey) return "";
  const key = latin(event);
  const letter = /^[a-z]$/i.test(key);
  // Which characters need Shift depends on the keyboard: for those, the character itself counts.
  const named = letter || key.length > 1;
  const parts = [ctrlKey || metaKey ? "Ctrl" : "", named && shiftKey ? "Shift" : "", letter ? key.toLowerCase() : key];
  return parts.filter(Boolean).join("+");
}
