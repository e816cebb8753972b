import { h } from "./dom.js";

/**
 * @typedef {{state: "loading" | "ready" | "failed", policy: string, segmenter: string, device: string,
 *   understands: string, failure: string}} Status see ModelStatus in models.py
 */

/**
 * The line above the tabs.
 * @param {import("./dom.js").Host} host its value is a Status
 */
export function mount({ element, props, watch }) {
  const models = h("p", { class: "header-models", role: "status" });
  const note = h("p", { class: "header-note" });
  const failure = h("p", { class: "notice", role: "alert" });
  element.replaceChildren(
    h("div", { class: "header-line" }, h("h1", {}, "Seg-R1"), h("p", { class: "header-claim" },
      "Say what to find. The model reasons, points, and SAM2 cuts the mask."), models),
    note,
    failure,
  );

  const render = () => {
    const { state, policy, segmenter, device, understands, failure: reason } = /** @type {Status} */ (props.value);
    element.dataset.state = state;
    models.replaceChildren(
      h("span", { class: `lamp is-${state}`, "aria-hidden": "true" }),
      { loading: "Models are loading… ", failed: "No models. ", ready: "" }[state],
      h("span", { class: "model-name" }, policy),
      " + ",
      h("span", { class: "model-name" }, segmenter),
      device ? ` on ${device}` : "",
    );
    note.textContent = {
      loading: "The page is ready; a run waits until the models are, too.",
      ready: understands || "These models take any instruction, in your own words.",
      failed: "Restart the app with models that can be loaded.",
    }[state];
    failure.textContent = reason;
    failure.hidden = !reason;
  };
  watch("value", render);
  render();
}

// The one shortcut of the page that works from everywhere, also from within the instruction.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  /** @type {HTMLElement | null} */ (document.querySelector("#run-button"))?.click();
});
