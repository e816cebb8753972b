import { h } from "../shared/dom.js";
import { followModels } from "../shared/models.js";

const notice = h("div", { class: "notice", role: "alert", hidden: "" });

/**
 * Say something where an instruction is typed.
 * @param {string} text empty to hide the notice
 */
export function tellAsker(text) {
  notice.hidden = !text;
  notice.textContent = text;
}

/**
 * What the models understand, where an instruction is typed; it unfolds.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element }) {
  const text = h("p", {});
  element.replaceChildren(notice, h("details", { class: "understands" }, h("summary", {}, "What can be asked"), text));
  followModels((understands) => {
    text.textContent = understands || "The models are still loading.";
  });
  document.addEventListener("click", holdEmpty, { capture: true });
  document.addEventListener("input", ({ target }) => {
    if (target instanceof Element && target.closest("#instruction")) tellAsker("");
  });
}

/**
 * A run without an instruction would replace the last answer by a complaint.
 * @param {MouseEvent} event
 */
function holdEmpty(event) {
  const field = /** @type {HTMLTextAreaElement | null} */ (document.querySelector("#instruction textarea"));
  const asked = event.target instanceof Element && event.target.closest("#run-button") !== null;
  if (!asked || !field || field.value.trim()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  tellAsker("The instruction is empty: say what to segment.");
  field.focus();
}
