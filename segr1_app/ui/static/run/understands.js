import { h } from "../shared/dom.js";
import { followModels } from "../shared/models.js";

/**
 * What the models understand, where an instruction is typed; it unfolds.
 * @param {import("../shared/dom.js").Host} host
 */
export function mount({ element }) {
  const text = h("p", {});
  element.replaceChildren(h("details", { class: "understands" }, h("summary", {}, "What can be asked"), text));
  followModels((understands) => {
    text.textContent = understands || "The models are still loading.";
  });
}
