import { Offer } from "./download.js";
import { h } from "./dom.js";

/**
 * @typedef {{state: "loading" | "ready" | "failed", policy: string, segmenter: string, device: string,
 *   understands: string, failure: string, reason: string, offered: boolean}} Status see ModelStatus in models.py
 */

/**
 * The line above the tabs.
 * @param {import("./dom.js").Host} host its value is a Status
 */
export function mount({ element, props, watch, server, trigger }) {
  const models = h("p", { class: "header-models", role: "status" });
  const note = h("p", { class: "header-note" });
  const failure = h("p", { class: "notice header-failure", role: "alert" });
  const reason = h("p", { class: "header-reason" });
  // Only an admin's page has these functions.
  const offer = server?.download_state ? new Offer(server, () => trigger("select")) : null;
  element.replaceChildren(
    h("div", { class: "header-line" }, h("h1", {}, "Seg-R1"), h("p", { class: "header-claim" },
      "Say what to find. The model reasons, points, and SAM2 cuts the mask."), models),
    note,
    h("div", { class: "header-line" }, reason, ...(offer ? [offer.element] : [])),
    failure,
  );

  const render = () => {
    const { state, policy, segmenter, device, understands, failure: refusal, reason: why, offered } = /** @type {Status} */ (props.value);
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
    reason.textContent = why;
    reason.hidden = !why;
    if (offer) offer.element.hidden = !offered;
    if (offer && offered) void offer.follow("download_state");
    failure.textContent = refusal;
    failure.hidden = !refusal;
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
