import { h } from "../shared/dom.js";
import { storage } from "../shared/storage.js";
import { Clock } from "../annotate/clock.js";
import { NAME_KEY } from "../annotate/keys.js";
import { answer } from "./live.js";
import { isSameWork } from "./prompts.js";
import { Canvas } from "./view.js";
import { guardCorrections } from "../run/corrections.js";

const KEPT = "Another answer agrees better, but you have begun to correct this one: it is the first to pick from.";

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
    edited: () => {
      clicks++;
      results.replaceChildren();
    },
  });
  // Both since the picture came, or since it was saved last.
  let clicks = 0;
  const clock = new Clock();
  const results = h("p", { class: "stage-results" });
  const saver = h("button", { type: "button", class: "quiet-button is-primary", title: "Save (Ctrl+S)" }, "Save");
  saver.addEventListener("click", () => save());
  canvas.foot.append(results, saver);

  /** What was saved last. @type {import("./types.js").Prompts | null} */
  let saved = null;
  const unsaved = () => canvas.changed && !(saved && isSameWork(saved, canvas.prompts));
  guardCorrections(element, unsaved);

  const show = () => {
    const value = props.value || null; // gradio turns None into an empty string
    if (value?.instead_of && value.instead_of === canvas.value?.key && unsaved()) return canvas.say(KEPT);
    saved = null;
    clicks = 0;
    clock.start(0);
    results.replaceChildren();
    canvas.show(value);
  };
  watch("value", show);
  show();

  async function save() {
    const key = canvas.value?.key;
    if (!key || canvas.isDrawing()) return;
    const sent = canvas.prompts;
    const work = { clicks, seconds: clock.seconds };
    canvas.say("Saving …");
    saver.disabled = true;
    const reply = await answer(() => server.save({ picture: key, objects: canvas.objects,
      annotator: storage.getItem(NAME_KEY), ...work }));
    saver.disabled = false;
    if (canvas.value?.key !== key) return;
    const failure = reply ? reply.failure : "The server did not answer: nothing was saved, and nothing is lost. Try again.";
    canvas.say(failure ?? reply.message);
    if (!failure) {
      saved = sent;
      clicks -= work.clicks;
      clock.start(Math.max(0, clock.seconds - work.seconds));
    }
    results.replaceChildren(...(reply?.files ?? []).map(fileLink));
  }
}

/** @param {{label: string, path: string, name: string}} file */
function fileLink({ label, path, name }) {
  const href = new URL(`gradio_api/file=${encodeURI(path)}`, document.baseURI).href;
  return h("a", { class: "quiet-button", href, download: name, "aria-label": `Download corrected ${label}` }, `↓ ${label}`);
}
