import { h } from "../shared/dom.js";
import { KEYS } from "./keys.js";

/**
 * The list of every gesture and key, in a dialog made from `KEYS`.
 * @param {import("./keys.js").Row[]} more rows of the tab that uses the canvas
 * @returns {HTMLDialogElement}
 */
export function helpDialog(more = []) {
  const groups = Map.groupBy([...more, ...KEYS], ({ group }) => group);
  const lists = [...groups].map(([group, rows]) =>
    h(
      "section",
      {},
      h("h3", {}, group),
      h("dl", {}, ...rows.map(({ keys, does }) => h("div", {}, h("dt", {}, ...caps(keys)), h("dd", {}, does)))),
    ),
  );
  const close = h("button", { type: "button", class: "quiet-button", autofocus: "" }, "Close");
  const dialog = h(
    "dialog",
    { class: "key-list", "aria-label": "Keys and gestures" },
    h("header", {}, h("h2", {}, "Keys and gestures"), close),
    h("div", { class: "key-scroll", tabindex: "0", role: "region", "aria-label": "Every key and gesture" },
      h("div", { class: "key-groups" }, ...lists)),
  );
  close.addEventListener("click", () => dialog.close());
  // A click outside the list closes it; the dialog's own box lies inside its padding.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

/** @param {string} keys */
function caps(keys) {
  return keys.split(", ").flatMap((one, index) => [...(index ? [" or "] : []), h("kbd", {}, one)]);
}
