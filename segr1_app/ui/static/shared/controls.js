import { h } from "./dom.js";

/**
 * A button with its key, if it has one.
 * @param {string} text
 * @param {string} action by which tests and styles know it
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
 * A control below its name.
 * @param {string} text
 * @param {HTMLElement} control
 */
export function field(text, control) {
  return h("label", { class: "job-field", for: control.id }, h("span", {}, text), control);
}

/**
 * Call back each time an element comes into sight after it was hidden, as a tab that is chosen.
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
