import { h } from "../shared/dom.js";
import { storage } from "../shared/storage.js";
import { NAME_KEY } from "../annotate/keys.js";
import { answer } from "./live.js";
import { Canvas } from "./view.js";

/**
 * The Run tab's canvas: the result of a run, to be corrected and saved.
 * @param {import("../shared/dom.js").Host} host its value is that of a canvas, or empty while there is no picture
 */
export function mount({ element, props, watch, server }) {
  const canvas = new Canvas(element, {
    decode: (question) => server.decode(question),
    empty: "Choose a picture, enter an instruction, press Run.",
    keys: [],
    act: () => save(),
    edited: () => results.replaceChildren(),
  });
  const results = h("p", { class: "stage-results" });
  const saver = h("button", { type: "button", class: "quiet-button is-primary", title: "Save (Ctrl+S)" }, "Save");
  saver.addEventListener("click", () => save());
  canvas.foot.append(results, saver);

  const show = () => {
    results.replaceChildren();
    canvas.show(props.value || null); // gradio turns None into an empty string
  };
  watch("value", show);
  show();

  async function save() {
    const key = canvas.value?.key;
    if (!key) return;
    canvas.say("Saving …");
    saver.disabled = true;
    const reply = await answer(() => server.save({ picture: key, objects: canvas.objects,
      annotator: storage.getItem(NAME_KEY) }));
    saver.disabled = false;
    if (canvas.value?.key !== key) return;
    const failure = reply ? reply.failure : "The server did not answer: nothing was saved, and nothing is lost. Try again.";
    canvas.say(failure ?? reply.message);
    results.replaceChildren(...(reply?.files ?? []).map(fileLink));
  }
}

/** @param {{label: string, path: string, name: string}} file */
function fileLink({ label, path, name }) {
  const href = new URL(`gradio_api/file=${encodeURI(path)}`, document.baseURI).href;
  return h("a", { class: "quiet-button", href, download: name, "aria-label": `Download corrected ${label}` }, `↓ ${label}`);
}
