/** Gradio's own markup, mended where assistive technology or a reader would be misled. */

/** What is wrong, and what to do with each element that is. @type {[string, (element: HTMLElement) => void][]} */
const FAULTS = [
  // A label on an element without a role.
  [".empty[aria-label]:not([role])", (empty) => empty.setAttribute("role", "img")],
  // A label that differs from the text on the button, by which speech control finds it.
  [".upload-container:not(.icon-mode)[aria-label]", (upload) => upload.removeAttribute("aria-label")],
  // A button within a button, named after a missing translation.
  [".icon-button:has(.upload-container):not([hidden])", (outer) => {
    const add = document.createElement("button");
    Object.assign(add, { type: "button", className: "quiet-button", textContent: "Add files" });
    add.addEventListener("click", () => /** @type {HTMLElement} */ (outer.querySelector(".upload-container")).click());
    outer.hidden = true;
    outer.before(add);
  }],
];

/** Mend what is on the page, and what will come. */
export function mendMarkup() {
  const mend = () => {
    for (const [selector, act] of FAULTS) document.querySelectorAll(selector).forEach((each) => act(/** @type {HTMLElement} */ (each)));
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
}
