import { h } from "../shared/dom.js";
import { candidateButtons, outcome } from "./candidates.js";
import { replacing } from "./corrections.js";

const PHASES = {
  idle: "No run yet",
  loading: "The models are still loading; this run starts when they are ready",
  waiting: "Another run is in progress; yours is next",
  looking: "Looking at the picture",
  writing: "Reasoning",
  comparing: "Comparing with more answers",
  done: "Done",
  stopped: "Stopped",
  failed: "Failed",
};
const BUSY = new Set(["loading", "waiting", "looking", "writing", "comparing"]);

/**
 * @typedef {import("../shared/contracts.js").RunAnswer} Answer
 * @typedef {import("../shared/contracts.js").AnswerObject} Row
 */

/**
 * The policy's completion and the prompts read from it.
 * @param {import("../shared/dom.js").Host} host its value is an Answer
 */
export function mount({ element, props, watch, trigger }) {
  const phase = h("p", { class: "answer-phase", role: "status" });
  const notice = h("div", { class: "notice", role: "alert" });
  const outcomeText = h("p", { class: "answer-outcome" });
  const candidates = h("div", { class: "answer-candidates", role: "group", "aria-label": "Answers to pick from" });
  const reasoning = h("p", { class: "answer-reasoning", id: "reasoning", tabindex: "0", "aria-label": "Reasoning" });
  const prompts = h("pre", { class: "answer-prompts", tabindex: "0", role: "group", "aria-label": "Prompts as written" });
  const objects = h("ul", { class: "answer-objects", "aria-label": "Objects" });
  const objectsSection = section("Objects", objects);
  const times = h("dl", { class: "answer-times", "aria-label": "Time of each stage" });
  const downloads = h("div", { class: "answer-downloads", role: "group", "aria-label": "Downloads" });
  const raw = h("pre", { class: "answer-raw", id: "raw-completion", tabindex: "0", role: "group",
    "aria-label": "Raw completion" });
  const asked = h("div", { class: "answer-asked", id: "asked" });
  const copy = h("button", { type: "button", class: "quiet-button" }, "Copy");
  copy.addEventListener("click", () => copyText(raw, copy));
  element.replaceChildren(
    phase,
    notice,
    outcomeText,
    candidates,
    section("Reasoning", reasoning),
    section("Prompts as written", prompts),
    objectsSection,
    section("Time", times),
    downloads,
    h("details", { class: "answer-details" }, h("summary", {}, "Raw completion"), copy, raw),
    h("details", { class: "answer-details" }, h("summary", {}, "What the policy was asked"), asked),
  );

  const render = () => {
    const value = /** @type {Answer} */ (props.value);
    element.dataset.phase = value.phase;
    phase.textContent = PHASES[value.phase] + (value.phase === "done" ? ` in ${seconds(value.seconds.total)}` : "");
    phase.classList.toggle("is-busy", BUSY.has(value.phase));
    renderNotice(notice, value);
    const { comparison } = value;
    outcomeText.textContent = comparison ? outcome(comparison) : "";
    const pick = (/** @type {number} */ index) =>
      replacing(() => trigger("select", { key: comparison?.key, index }));
    const several = comparison !== null && comparison.candidates.length > 1;
    candidates.hidden = !several;
    candidates.replaceChildren(...(several ? candidateButtons(comparison, pick) : []));
    const spoken = split(value.text);
    reasoning.textContent = spoken.reasoning || (value.phase === "idle" ? "The policy's reasoning appears here." : "");
    // While it is being written the newest line is visible, afterwards the first one.
    reasoning.scrollTop = value.phase === "writing" ? reasoning.scrollHeight : 0;
    prompts.textContent = spoken.rest;
    raw.textContent = value.text;
    asked.replaceChildren(...(value.asked.length ? value.asked.flatMap(message) : [h("p", {}, "Shown with an answer.")]));
    objectsSection.hidden = value.abstains;
    objects.replaceChildren(...value.objects.map(objectRow));
    times.replaceChildren(...timeRows(value.seconds));
    downloads.replaceChildren(...links(value.files));
  };
  watch("value", render);
  render();
}

/**
 * One message to the policy, as text only: a protocol file may hold anything.
 * @param {{role: string, text: string}} message
 */
function message({ role, text }) {
  const title = role === "system" ? "System" : "User, after the picture";
  const attributes = { class: "answer-raw", tabindex: "0", role: "group", "aria-label": title };
  return [h("h3", {}, title), h("pre", attributes, text)];
}

/**
 * @param {string} title
 * @param {HTMLElement} body
 */
function section(title, body) {
  return h("section", { class: "answer-section" }, h("h2", {}, title), body);
}

/**
 * Reasoning and the rest of a completion that may still be growing.
 * @param {string} text
 */
export function split(text) {
  const open = text.match(/^\s*<think>/);
  if (!open) return { reasoning: "", rest: text.trim() };
  const body = text.slice(open[0].length);
  const close = body.indexOf("</think>");
  if (close < 0) return { reasoning: body.trim(), rest: "" };
  return { reasoning: body.slice(0, close).trim(), rest: body.slice(close + "</think>".length).trim() };
}

/**
 * @param {HTMLElement} notice
 * @param {Answer} answer
 */
function renderNotice(notice, { failure, problems, objects, abstains }) {
  notice.hidden = !failure && !problems.length && !abstains;
  if (abstains) {
    notice.replaceChildren(
      h("p", {}, h("strong", {}, "No such object. "), "The policy answers that the picture does not show it."),
      ...(problems.length
        ? [h("p", {}, "The completion is malformed:"), h("ul", {}, ...problems.map((problem) => h("li", {}, problem)))]
        : []),
    );
  } else if (failure) notice.replaceChildren(h("p", {}, failure));
  else if (problems.length) {
    const read = objects.length
      ? `The readable part is shown: ${objects.length} ${objects.length === 1 ? "object" : "objects"}.`
      : "No object could be read from it.";
    notice.replaceChildren(
      h("p", {}, h("strong", {}, "The completion is malformed. "), read),
      h("ul", {}, ...problems.map((problem) => h("li", {}, problem))),
    );
  } else notice.replaceChildren();
}

/**
 * @param {Row} row
 * @param {number} index
 */
function objectRow({ colour, confidence, box, positive, negative }, index) {
  const swatch = h("span", { class: "swatch" });
  swatch.style.background = colour;
  const bar = h("span", { class: "confidence-bar" });
  bar.style.setProperty("--part", String(Math.min(1, Math.max(0, confidence ?? 0))));
  const prompt = [box ? `box ${box.map(Math.round).join(", ")}` : "no box", `${positive} +`, `${negative} −`];
  return h(
    "li",
    {},
    swatch,
    h("span", { class: "object-name" }, `Object ${index + 1}`),
    h("span", { class: "object-prompt" }, prompt.join(" · ")),
    bar,
    h("span", { class: "confidence", title: "SAM2's own estimate of the mask's IoU" },
      confidence === null ? "no mask" : `${(100 * confidence).toFixed(0)} %`),
  );
}

/** @param {Record<string, number>} times */
function timeRows(times) {
  const names = { policy: "Reason", encode: "Encode", decode: "Decode", effort: "Compare", total: "Total" };
  // Only a run that compared answers has that stage.
  const stages = Object.entries(names).filter(([stage]) => stage !== "effort" || stage in times);
  return stages.map(([stage, name]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, stage in times ? seconds(times[stage]) : "–")),
  );
}

/** @param {number} value */
function seconds(value) {
  return value < 0.995 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`;
}

/** @param {Answer["files"]} files */
function links(files) {
  const names = { mask: "Mask", overlay: "Overlay", record: "JSON" };
  return Object.entries(names).map(([kind, name]) => {
    const file = files[kind];
    if (!file) return h("span", { class: "quiet-button", "aria-disabled": "true" }, `↓ ${name}`);
    return h(
      "a",
      { class: "quiet-button", href: file.url, download: file.orig_name, "aria-label": `Download ${name}` },
      `↓ ${name}`,
    );
  });
}

/**
 * @param {HTMLElement} source
 * @param {HTMLElement} button
 */
async function copyText(source, button) {
  // Pages served over plain http from another machine cannot use the clipboard: there the text is selected for Ctrl+C.
  if (navigator.clipboard) await navigator.clipboard.writeText(source.textContent);
  else getSelection()?.selectAllChildren(source);
  button.textContent = navigator.clipboard ? "Copied" : "Selected";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
