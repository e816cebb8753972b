/** Where the browser stores the annotator's name. */
export const NAME_KEY = "segr1-annotator";

/**
 * Decisions and their keys, in addition to those of the canvas.
 * @type {(import("../canvas/keys.js").Row & {name: string, action: string, primary?: boolean})[]}
 */
export const DECISIONS = [
  { group: "Decide", keys: "A, Enter", does: "accept, or save the fix, and go on", name: "Accept", action: "accept",
    on: ["a", "Enter"], primary: true },
  { group: "Decide", keys: "X", does: "reject, with a reason", name: "Reject", action: "reject", on: ["x"] },
  { group: "Decide", keys: "S", does: "skip", name: "Skip", action: "skip", on: ["s"] },
];

/**
 * What `?` lists in addition to the canvas's own keys.
 * @type {import("../canvas/keys.js").Row[]}
 */
export const DECISION_KEYS = [
  ...DECISIONS,
  { group: "Decide", keys: "Ctrl+Enter", does: "accept, also from within the comment; Esc leaves the comment",
    action: "accept", on: ["Ctrl+Enter"] },
  { group: "Classes", keys: "1–9", does: "name the object by the class of that key; again, the next object without a class",
    action: "class", on: ["1", "2", "3", "4", "5", "6", "7", "8", "9"] },
  { group: "Tasks", keys: "J", does: "the next task by number, decided or not", action: "later", on: ["j"] },
  { group: "Tasks", keys: "K", does: "the previous one", action: "earlier", on: ["k"] },
  { group: "Tasks", keys: "D", does: "add the objects of the task decided before: points, boxes and classes", action: "repeat",
    on: ["d"] },
  { group: "Tasks", keys: "Shift+F", does: "picture and decision fill the window", action: "fill", on: ["Shift+f"] },
  { group: "Tasks", keys: "T", does: "show the imported mask as a dashed outline", action: "truth", on: ["t"] },
  { group: "Tasks", keys: "Shift+T", does: "start from the imported mask", action: "take-truth", on: ["Shift+t"] },
  { group: "Decide", keys: "U", does: "undo the last decision: its task opens again", action: "undo-decision", on: ["u"] },
];

/**
 * The same where there is a model for Find all.
 * @type {import("../canvas/keys.js").Row[]}
 */
export const FIND_KEYS = [
  { group: "Find all", keys: "Y", does: "keep the object that is proposed", action: "keep-found", on: ["y"] },
  { group: "Find all", keys: "I", does: "leave it out", action: "leave-found", on: ["i"] },
];

/** Why a task is rejected; their positions are their keys. */
export const REASONS = [
  { value: "reasoning", name: "Reasoning: it looked for the wrong thing" },
  { value: "grounding", name: "Grounding: right idea, wrong place" },
  { value: "segmenter", name: "Segmenter: right prompts, wrong mask" },
  { value: "no-object", name: "No object: what is asked for is not there" },
  { value: "bad-image", name: "Bad image: nobody can tell" },
];
