import { answer } from "../canvas/live.js";
import { Offer } from "./download.js";
import { h } from "../shared/dom.js";
import { followAddress } from "../shared/address.js";
import { mendMarkup } from "../shared/mending.js";
import { describeModels } from "../shared/models.js";
import { meet } from "../shared/person.js";
import { counted, moment } from "../shared/formatting.js";

/**
 * @typedef {import("../shared/contracts.js").Header} Status
 * @typedef {import("../shared/contracts.js").RemoteCopy} Copy
 */

const SYNC_MS = 15_000;

/**
 * The line above the tabs.
 * @param {import("../shared/dom.js").Host} host its value is a Status
 */
export function mount({ element, props, watch, server, trigger }) {
  mendMarkup();
  followAddress();
  const models = h("p", { class: "header-models", role: "status" });
  const who = h("p", { class: "header-person" });
  const copy = h("p", { class: "header-copy", role: "status" });
  const note = h("p", { class: "header-note" });
  const failure = h("p", { class: "notice header-failure", role: "alert" });
  const reason = h("p", { class: "header-reason" });
  // Only an admin's page has these functions.
  const offer = server?.download_state ? new Offer(server, () => trigger("select")) : null;
  element.replaceChildren(
    h("div", { class: "header-line" }, h("h1", {}, "Seg-R1"), models, who, aboutPanel(note, reason)),
    ...(offer ? [offer.element] : []),
    copy,
    failure,
  );
  let reached = true;

  const render = () => {
    const {
      state, policy, segmenter, device, understands, failure: refusal, reason: why, offered, person,
    } = /** @type {Status} */ (props.value);
    element.dataset.state = state;
    models.replaceChildren(
      h("span", { class: `lamp is-${reached ? state : "gone"}`, "aria-hidden": "true" }),
      reached ? { loading: "Models are loading… ", failed: "No models. ", ready: "" }[state] : "The server does not answer. ",
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
    describeModels(note.textContent);
    reason.textContent = why;
    reason.hidden = !why;
    if (person) {
      who.replaceChildren(...introduction(person));
      meet(person);
    }
    // Without permission to train there is none to choose models either.
    const open = offered && Boolean(person?.may.includes("administer"));
    if (offer) offer.element.hidden = !open;
    if (offer && open) void offer.follow("download_state");
    failure.textContent = refusal;
    failure.hidden = !refusal;
  };
  watch("value", render);
  render();
  void followSync(server, copy);
  watchServer((answers) => {
    reached = answers;
    render();
  });
}

/**
 * What the app does, in a panel that a click elsewhere closes.
 * @param {...Node} contents
 */
function aboutPanel(...contents) {
  const about = h("details", { class: "header-about" }, h("summary", {}, "About"), h("div", { class: "header-notes" },
    h("p", { class: "header-claim" }, "Enter what to find. The model reasons and points, and SAM2 makes the mask."),
    ...contents));
  document.addEventListener("click", (event) => {
    if (about.open && !about.contains(/** @type {Node} */ (event.target))) about.open = false;
  });
  about.addEventListener("keydown", (event) => event.key === "Escape" && (about.open = false));
  return about;
}

/**
 * Keep the state of the remote copy up to date, if there is one.
 * @param {import("../shared/dom.js").Host["server"]} server
 * @param {HTMLElement} copy
 */
async function followSync(server, copy) {
  const state = /** @type {Copy | undefined} */ (await answer(() => server.sync_state({})));
  if (state) copy.textContent = copyStatus(state);
  if (state?.remote) setTimeout(() => void followSync(server, copy), SYNC_MS);
}

/**
 * Report each time the server stops or starts answering.
 * @param {(answers: boolean) => void} changed
 */
function watchServer(changed) {
  let reached = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const beat = async () => {
    clearTimeout(timer);
    if (await isServed() !== reached) {
      reached = !reached;
      changed(reached);
    }
    timer = setTimeout(beat, SYNC_MS);
  };
  // Events of the browser's own connection are noticed immediately.
  for (const kind of ["online", "offline"]) window.addEventListener(kind, () => void beat());
  void beat();
}

/** Whether the server answers at all: it is asked for this file, which costs it nothing. */
async function isServed() {
  try {
    return (await fetch(import.meta.url, { method: "HEAD", cache: "no-store" })).ok;
  } catch (error) {
    console.warn(error);
    return false;
  }
}

/**
 * The state of the remote copy of the annotations.
 * @param {Copy} state
 */
function copyStatus({ remote, at, waiting, failure }) {
  if (!remote) return "";
  const last = at === null ? "Not synced yet" : `Last synced ${moment(at)} with ${remote}`;
  const news = waiting ? `; ${counted(waiting, "change")} since` : "";
  return `${last}${news}.${failure ? ` ${failure}` : ""}`;
}

/**
 * Who is signed in, where people sign in.
 * @param {import("../shared/person.js").Person} person
 * @returns {(Node | string)[]}
 */
function introduction({ name, role, sign_in }) {
  if (sign_in === "none") return [];
  if (!name) return ["Not signed in"];
  const leave = sign_in === "password" ? [" · ", h("a", { href: "logout" }, "Sign out")] : [];
  return [h("bdi", {}, name), ` · ${role}`, ...leave];
}

// The one shortcut of the Run tab that works from everywhere in it, also from within the instruction.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const run = /** @type {HTMLElement | null} */ (document.querySelector("#run-button"));
  if (!run?.checkVisibility()) return;
  event.preventDefault();
  run.click();
});
