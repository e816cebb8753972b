import { pressOf } from "../canvas/keys.js";
import { button, field } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { DECISIONS } from "./keys.js";

/**
 * The elements of the Annotate tab, laid out: the annotator, the progress, and next to the picture the decision.
 * @param {HTMLElement} element the tab's own
 * @param {object} use
 * @param {() => void} use.start asks for the next task
 * @param {() => void} use.edit edits the instruction
 * @param {(action: string) => void} use.act decides
 * @param {() => void} use.commented called after every edit of the comment
 * @param {() => void} use.leaveComment moves the focus from the comment back to the picture
 */
export function workbench(element, { start, edit, act, commented, leaveComment }) {
  const name = h("input", { type: "text", id: "annotator-name", maxlength: "200", autocomplete: "username",
    placeholder: "Your name", spellcheck: "false" });
  name.addEventListener("keydown", (event) => event.key === "Enter" && start());
  const order = h("select", { id: "annotator-order" },
    ...Object.entries({ imported: "As imported", "least-confident": "Least confident first",
      "most-disagreement": "Most disagreement first" }).map(([value, text]) => h("option", { value }, text)));
  const starter = button("Next task", "start", start);
  const meter = h("progress", { max: "1", value: "0", "aria-label": "Tasks decided" });
  const count = h("p", { class: "job-count" });
  const title = h("p", { class: "job-instruction" });
  const about = h("p", { class: "job-picture" });
  const editor = button("Edit", "edit-instruction", edit);
  editor.setAttribute("aria-label", "Edit the instruction");
  const filler = button("Full", "fill", () => act("fill"));
  filler.setAttribute("aria-label", "Full window");
  filler.setAttribute("aria-pressed", "false");
  filler.title = "Picture and decision fill the window (Shift+F)";
  const reasoning = h("p", { class: "job-reasoning", tabindex: "0", "aria-label": "Reasoning of the policy" });
  const comment = h("textarea", { id: "job-comment", rows: "2", maxlength: "4000" });
  comment.addEventListener("input", commented);
  comment.addEventListener("keydown", (event) => {
    // The keys that are not text.
    const press = pressOf(event);
    if (!["Ctrl+Enter", "Ctrl+s", "Escape"].includes(press)) return;
    event.preventDefault();
    event.stopPropagation();
    if (press === "Escape") leaveComment();
    else if (!event.repeat) act("accept");
  });
  const buttons = DECISIONS.map(({ action, name: said, keys, primary }) =>
    button(said, action, () => act(action), { keys, primary }));
  const undoing = h("div", { class: "job-undo", role: "status" });
  const stage = h("div", { class: "job-stage" });
  const decisions = h("div", { class: "job-decisions", role: "group", "aria-label": "Decision" }, ...buttons);
  const root = h("div", { class: "job-bench" }, stage,
    h("div", { class: "job-side" },
      title, h("div", { class: "job-about" }, about, h("div", { class: "job-tools" }, filler, editor)),
      h("section", { class: "answer-section" }, h("h2", {}, "Reasoning"), reasoning),
      decisions, field("Comment", comment)));
  element.replaceChildren(
    h("div", { class: "job-top" },
      field("Annotator", name), field("Order", order), starter,
      h("div", { class: "job-progress" }, meter, count)),
    root,
  );
  return { name, order, starter, meter, count, title, about, editor, reasoning, comment, buttons, undoing, stage,
    decisions, filler, root };
}

/**
 * Scroll to a task where its picture or tools lie below the fold, as on a small screen.
 * @param {HTMLElement} root
 * @param {Element} frame
 * @param {Element} tools
 */
export function comeIntoSight(root, frame, tools) {
  if (frame.getBoundingClientRect().top < 0 || tools.getBoundingClientRect().bottom > innerHeight)
    root.scrollIntoView({ block: "start" });
}
