import { h } from "./dom.js";

/**
 * A question with a few answers; the digits choose, Escape closes it.
 * @param {string} title
 * @param {{value: string, name: string}[]} choices
 * @param {(value: string) => void} choose
 * @returns {{element: HTMLDialogElement, open: (text?: string) => void}}
 */
export function choiceDialog(title, choices, choose) {
  const text = h("p", {});
  const pick = (/** @type {string} */ value) => {
    element.close();
    choose(value);
  };
  const buttons = choices.map(({ value, name }, index) => {
    const button = h("button", { type: "button", class: "quiet-button" }, h("kbd", {}, String(index + 1)), ` ${name}`);
    button.addEventListener("click", () => pick(value));
    return button;
  });
  const cancel = h("button", { type: "button", class: "quiet-button", "data-action": "cancel" }, h("kbd", {}, "Esc"),
    " Cancel");
  cancel.addEventListener("click", () => element.close());
  const element = h("dialog", { class: "choice-dialog", "aria-label": title }, h("h2", {}, title), text, ...buttons,
    cancel);
  // A tap beside the dialog, which only its backdrop gets.
  element.addEventListener("click", (event) => event.target === element && element.close());
  element.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const choice = choices[Number(event.key) - 1];
    if (choice) pick(choice.value);
  });
  return {
    element,
    open(more = "") {
      text.textContent = more;
      text.hidden = !more;
      element.showModal();
    },
  };
}
