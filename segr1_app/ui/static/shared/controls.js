import { h } from "./dom.js";

/**
 * A button with its key, if it has one.
 * @param {string} text
 * @param {string} action identifies it for tests and styles
 * @param {() => void} act
 * @param {{keys?: string, primary?: boolean}} [look]
 */
export function button(text, action, act, { keys = "", primary = false } = {}) {
  const made = h("button", { type: "button", class: `quiet-button${primary ? " is-primary" : ""}`, "data-action": action },
    h("span", {}, text), ...(keys ? [h("kbd", { "aria-hidden": "true" }, keys.split(", ")[0])] : []));
  made.addEventListener("click", act);
  return made;
}

/**
 * A control with a label above it.
 * @param {string} text
 * @param {HTMLElement} control
 */
export function field(text, control) {
  return h("label", { class: "job-field", for: control.id }, h("span", {}, text), control);
}

/**
 * Call back each time an element becomes visible after it was hidden, such as a tab that is selected.
 * @param {HTMLElement} element
 * @param {() => void} seen
 */
export function whenSeen(element, seen) {
  let visible = false;
  new ResizeObserver(() => {
    const now = element.clientWidth > 0;
    if (now && !visible) seen();
    visible = now;
  }).observe(element);
}
