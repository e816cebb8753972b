import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";

/**
 * A dialog to change a task's instruction, or to add another task for its picture; Escape closes it.
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
    h("p", {}, "The model predicts again, and your unsaved edits are discarded; what was decided for the old instruction "
      + "counts again if you change back. Adding another task leaves this one unchanged."),
    button("Change the instruction", "change-instruction", done(change)),
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
