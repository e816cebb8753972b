import { button, field } from "../shared/controls.js";
import { h } from "../shared/dom.js";

/**
 * @typedef {import("../shared/contracts.js").ClassValue} ClassValue
 * @typedef {{put: (content: object, name: string) => Promise<Reply>, remove: (name: string, in_use: boolean) => Promise<Reply>}} Use
 * @typedef {{classes?: ClassValue[], failure?: string} | null} Reply
 */

const GONE = "The server did not answer: nothing was changed. Try again.";
const NEW = "";

/** The fields, how they are filled from a class, and what they say of one. */
function controls() {
  const pick = h("select", { id: "class-pick" });
  const name = h("input", { type: "text", id: "class-edit-name", maxlength: "200", autocomplete: "off" });
  const colour = h("input", { type: "color", id: "class-edit-colour" });
  const key = h("select", { id: "class-edit-key" }, h("option", { value: "" }, "none"),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => h("option", { value: String(digit) }, String(digit))));
  const parent = h("input", { type: "text", id: "class-edit-parent", maxlength: "200", autocomplete: "off" });
  const description = h("input", { type: "text", id: "class-edit-description", maxlength: "1000", autocomplete: "off" });
  const form = h("div", { class: "class-fields" }, field("Class", pick), field("Name", name), field("Key", key),
    field("Colour", colour), field("Parent", parent), field("Description", description));
  return {
    pick,
    form,
    fill(/** @type {ClassValue | undefined} */ found) {
      name.value = found?.name ?? "";
      colour.value = found?.colour ?? "#2f7df6";
      key.value = String(found?.key ?? "");
      parent.value = found?.parent ?? "";
      description.value = found?.description ?? "";
    },
    read: () => ({ name: name.value, colour: colour.value, key: Number(key.value) || null, parent: parent.value,
      description: description.value }),
  };
}

/**
 * A dialog in which an admin adds, changes and removes classes; a refusal is said in it, and nothing is changed then.
 * @param {Use} use
 * @returns {{element: HTMLDialogElement, open: (classes: ClassValue[]) => void}}
 */
export function classEditor({ put, remove }) {
  /** @type {ClassValue[]} */
  let classes = [];
  const { pick, form, fill, read } = controls();
  const said = h("p", { class: "class-said", role: "status" });
  const chosen = () => classes.find((each) => each.name === pick.value);

  const show = () => {
    fill(chosen());
    remover.disabled = !chosen();
  };
  const list = (/** @type {string} */ selected) => {
    pick.replaceChildren(h("option", { value: NEW }, "New class"),
      ...classes.map((each) => h("option", { value: each.name }, `${each.number} · ${each.name}`)));
    pick.value = selected;
    show();
  };
  /**
   * @param {Reply} reply
   * @param {string} selected the class that is shown next
   * @param {string} done what to say
   */
  const take = (reply, selected, done) => {
    said.textContent = reply ? (reply.failure ?? done) : GONE;
    if (!reply?.classes) return;
    classes = reply.classes;
    list(selected);
  };
  const save = async () => {
    const before = chosen();
    const content = { ...read(), attributes: before?.attributes ?? [] };
    take(await put(content, before?.name ?? ""), before ? content.name.trim() : NEW, "Saved.");
  };
  let asked = "";
  const drop = async () => {
    const gone = pick.value;
    const reply = await remove(gone, asked === gone);
    asked = reply?.failure ? gone : "";
    take(reply, NEW, "Removed.");
    if (asked) said.textContent += " Press Remove again to remove it all the same.";
  };
  const remover = button("Remove", "remove-class", drop);
  pick.addEventListener("change", () => {
    asked = said.textContent = "";
    show();
  });
  const element = h("dialog", { class: "choice-dialog", "aria-label": "Edit the classes" }, h("h2", {}, "Edit the classes"),
    form, said, button("Save", "save-class", save, { primary: true }), remover,
    button("Close", "close-classes", () => element.close()));
  element.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) void save();
  });
  return {
    element,
    open(given) {
      classes = given;
      asked = said.textContent = "";
      list(NEW);
      element.showModal();
    },
  };
}
