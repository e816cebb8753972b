import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";

/**
 * Asks for other words for a task, or for a further task of its picture; Escape asks no further.
 * @param {{change: (instruction: string) => void, add: (instruction: string) => void}} use
 * @returns {{element: HTMLDialogElement, open: (instruction: string) => void}}
 */
export function instructionDialog({ change, add }) {
  const text = h("textarea", { id: "task-instruction", rows: "3", "aria-label": "Instruction" });
  const done = (/** @type {(instruction: string) => void} */ act) => () => {
    if (!text.value.trim()) return text.focus();
    element.close();
    act(text.value);
  };
  const element = h("dialog", { class: "choice-dialog", "aria-label": "Edit the instruction" },
    h("h2", {}, "Edit the instruction"), h("div", { class: "job-field" }, text),
    h("p", {}, "The model answers anew, and what you drew for the old words is given up; what was decided for them "
      + "counts again when they come back. As another task, the old one stays as it is."),
    button("Ask this instead", "change-instruction", done(change)),
    button("Add as another task of this picture", "add-task", done(add)),
    button("Cancel", "cancel-instruction", () => element.close()));
  element.addEventListener("keydown", (event) => event.stopPropagation());
  return {
    element,
    open(instruction) {
      text.value = instruction;
      element.showModal();
    },
  };
}
