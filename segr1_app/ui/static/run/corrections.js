import { choiceDialog } from "../shared/dialogs.js";

/** Whether the canvas holds corrections that were not saved. */
let unsaved = () => false;
let go = () => {};

const dialog = choiceDialog("Replace your corrections?", [{ value: "replace", name: "Replace them" }], () => go());

/**
 * From now on whatever would replace the canvas's contents asks first, while there are unsaved corrections on it.
 * @param {HTMLElement} element to hold the question
 * @param {() => boolean} changed
 */
export function guardCorrections(element, changed) {
  element.append(dialog.element);
  unsaved = changed;
}

/**
 * Do what replaces the canvas's contents, after a question where corrections would be lost.
 * @param {() => void} replace
 */
export function replacing(replace) {
  if (!unsaved()) return replace();
  go = replace;
  dialog.open("The corrections on the canvas are not saved: Save, or Ctrl+S, keeps them.");
}

/** The Run button is gradio's: its click is held until the question is answered. */
let confirmed = false;
document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? /** @type {HTMLElement | null} */ (event.target.closest("#run-button")) : null;
  if (!button || confirmed || !unsaved()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  replacing(() => {
    confirmed = true;
    button.click();
    confirmed = false;
  });
}, { capture: true });
