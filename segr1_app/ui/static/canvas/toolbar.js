import { h, svg } from "../shared/dom.js";
import { KEYS } from "./keys.js";

/**
 * @typedef {import("./keys.js").Action} Action
 * @typedef {"prompt" | "brush" | "eraser" | "lasso" | "cut"} Tool lasso adds an area, cut takes one away
 * @typedef {{tool: Tool, masks: boolean, marks: boolean, outline: boolean, canUndo: boolean,
 *   canRedo: boolean, canRefine: boolean, clean: boolean, idle: boolean}} Shown
 */

/** Icons, drawn with one line on 20 by 20. */
const ICONS = {
  prompt: "M10 3v14M3 10h14M10 6.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7",
  brush: "M16.5 3.5l-8 8M8.5 11.5c-2.6-.6-3.6 1-3.8 2.6c-.1 1.200-.7 1.900-1.700 2.400c2.400 1 6.500.6 7-3z",
  eraser: "M12.500 4l4 4l-7.500 7.500h-3.500l-2-2zM8 8.500l4 4M9 16h7.500",
  lasso: "M10 3.500c4 0 7 1.800 7 4.300s-3 4.400-7 4.400s-7-1.900-7-4.400s3-4.300 7-4.300M6.500 11.500c-2 1.500-1 4 .500 5M13 14.500h4M15 12.500v4",
  cut: "M10 3.500c4 0 7 1.800 7 4.300s-3 4.400-7 4.400s-7-1.900-7-4.400s3-4.300 7-4.300M6.500 11.500c-2 1.500-1 4 .500 5M13 14.500h4",
  undo: "M7 4L3.500 7.500L7 11M3.500 7.500h8a4.200 4.200 0 0 1 0 8.500h-3",
  redo: "M13 4l3.500 3.500L13 11M16.500 7.500h-8a4.200 4.200 0 0 0 0 8.500h3",
  fit: "M3.500 7.500v-4h4M12.500 3.500h4v4M16.500 12.500v4h-4M7.500 16.500h-4v-4",
  oneToOne: "M5 6.500l1.500-1v9M13.500 6.500l1.500-1v9M10.200 8.300v.1M10.200 12v.1",
  refine: "M10 3l1.700 5.300L17 10l-5.300 1.700L10 17l-1.700-5.300L3 10l5.300-1.700z",
  clean: "M16.500 3.500L10.500 9.500M8 8.500l3.500 3.500c-1 2.500-3.500 4.500-8 4.500c2.500-1.500 3-4 4.500-8M14.500 13.500v.1M16.500 16v.1M13 16.500v.1",
  outline: "M10 3.500c4 0 6.500 2.500 6.500 6s-3 7-6.500 7s-6.500-2.500-6.500-6s2.500-7 6.500-7z",
  flip: "M3.5 6.5h5M6 4v5M11.5 13.5h5M5 16.5L15 3.5",
  remove: "M4 5.5h12M8 5.5v-2h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  removeObject: "M10 3.5c4 0 6.5 2.5 6.5 6s-3 7-6.5 7s-6.5-2.5-6.5-6s2.5-7 6.5-7M7.7 7.7l4.6 4.6M12.3 7.7l-4.6 4.6",
  smaller: "M10 6a4 4 0 1 0 0 8a4 4 0 1 0 0-8M8.5 10h3",
  larger: "M10 3.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M7.5 10h5M10 7.5v5",
  help: "M7.300 7.500a2.700 2.700 0 1 1 4.200 2.200c-1 .7-1.500 1.200-1.500 2.300M10 15v.1",
};

const NAMES = /** @type {const} */ ({
  prompt: "Points and boxes", brush: "Brush", eraser: "Eraser", lasso: "Lasso: add an area",
  cut: "Lasso: cut an area", undo: "Undo", redo: "Redo", fit: "Whole picture",
  oneToOne: "100 %", refine: "Refine this mask", clean: "Clean this mask", outline: "Outline only", help: "Keys and gestures",
  flip: "Flip the point", remove: "Delete the point or box", removeObject: "Remove the object", smaller: "Smaller brush",
  larger: "Larger brush",
});

/**
 * @param {keyof typeof NAMES} action
 * @param {(action: Action) => void} act
 */
function iconButton(action, act) {
  const key = KEYS.find((row) => row.action === action)?.keys ?? "";
  const button = h(
    "button",
    { type: "button", class: "icon-button", "aria-label": NAMES[action], title: `${NAMES[action]} (${key})` },
    svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: ICONS[action] })),
  );
  button.addEventListener("click", () => act(action));
  return button;
}

/**
 * @param {string} name
 * @param {...HTMLElement} members
 */
function group(name, ...members) {
  return h("div", { class: "tool-group", role: "group", "aria-label": name }, ...members);
}

/**
 * The buttons under the picture; each does what its key does.
 * @param {(action: Action | "marks") => void} act
 * @returns {{element: HTMLElement, render: (shown: Shown) => void}}
 */
export function toolbar(act) {
  const icon = (/** @type {keyof typeof NAMES} */ action) => iconButton(action, act);
  /**
   * @param {string} label
   * @param {Action | "marks"} action
   */
  const text = (label, action) => {
    const button = h("button", { type: "button", class: "quiet-button" }, label);
    button.addEventListener("click", () => act(action));
    return button;
  };
  const buttons = {
    prompt: icon("prompt"), brush: icon("brush"), eraser: icon("eraser"), lasso: icon("lasso"), cut: icon("cut"),
    undo: icon("undo"), redo: icon("redo"),
    refine: icon("refine"), clean: icon("clean"), fit: icon("fit"), oneToOne: icon("oneToOne"), outline: icon("outline"),
    masks: text("Masks", "hide"), marks: text("Prompts", "marks"), help: icon("help"),
  };
  const element = h(
    "div",
    { class: "stage-bar", role: "toolbar", "aria-label": "Canvas" },
    group("Tools", buttons.prompt, buttons.brush, buttons.eraser, buttons.lasso, buttons.cut),
    group("Steps", buttons.undo, buttons.redo, buttons.refine, buttons.clean),
    group("View", buttons.fit, buttons.oneToOne, buttons.outline),
    group("Layers", buttons.masks, buttons.marks),
    buttons.help,
  );

  return {
    element,
    render(shown) {
      element.classList.toggle("is-idle", shown.idle);
      for (const tool of /** @type {const} */ (["prompt", "brush", "eraser", "lasso", "cut"]))
        buttons[tool].setAttribute("aria-pressed", String(shown.tool === tool));
      for (const switched of /** @type {const} */ (["masks", "marks", "outline", "clean"]))
        buttons[switched].setAttribute("aria-pressed", String(shown[switched]));
      buttons.undo.disabled = !shown.canUndo;
      buttons.redo.disabled = !shown.canRedo;
      buttons.refine.disabled = buttons.clean.disabled = !shown.canRefine;
    },
  };
}

/**
 * The buttons for the selected point or box, and for the active brush: a touch screen has no keys for them.
 * @param {(action: Action) => void} act
 * @returns {{element: HTMLElement, render: (mark: import("./types.js").Mark | null, painting: boolean) => void}}
 */
export function chosenTools(act) {
  const icon = (/** @type {keyof typeof NAMES} */ action) => iconButton(action, act);
  const buttons = { flip: icon("flip"), remove: icon("remove"), smaller: icon("smaller"), larger: icon("larger") };
  const element = group("Selection", ...Object.values(buttons), icon("removeObject"));
  element.classList.add("chosen-tools");
  return {
    element,
    render(mark, painting) {
      element.hidden = !mark && !painting;
      buttons.smaller.hidden = buttons.larger.hidden = !painting;
      buttons.flip.hidden = buttons.remove.hidden = painting;
      buttons.flip.disabled = mark?.kind !== "point";
    },
  };
}
