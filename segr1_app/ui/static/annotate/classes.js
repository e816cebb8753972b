import { CLASS_NAMES } from "../canvas/objects.js";
import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";

/** @typedef {import("../shared/contracts.js").ClassValue} ClassValue */

/**
 * The classes beside the picture: those with a key as buttons, and the names of all for the fields that complete them.
 * @param {(name: string) => void} choose names an object
 * @param {() => void} edit opens the list for an admin
 * @returns {{element: HTMLElement, allow: () => void, render: (classes: ClassValue[], kept: string) => void}}
 */
export function classPanel(choose, edit) {
  const chips = h("div", { class: "class-chips", role: "group", "aria-label": "Name the object" });
  const names = h("datalist", { id: CLASS_NAMES });
  const editor = button("Edit", "edit-classes", edit);
  editor.setAttribute("aria-label", "Edit the classes");
  editor.hidden = true;
  const element = h("section", { class: "job-classes", hidden: "" },
    h("div", { class: "class-head" }, h("h2", {}, "Classes"), editor), chips, names);
  /** @type {ClassValue[]} */
  let shown = [];
  return {
    element,
    allow() {
      editor.hidden = false;
      element.hidden = false;
    },
    render(classes, kept) {
      element.hidden = !classes.length && editor.hidden;
      if (classes !== shown) {
        shown = classes;
        names.replaceChildren(...classes.map(({ name }) => h("option", { value: name })));
        const keyed = classes.filter(({ key }) => key).sort((one, other) => Number(one.key) - Number(other.key));
        chips.replaceChildren(...keyed.map((each) => chip(each, choose)));
      }
      for (const each of chips.children) each.setAttribute("aria-pressed", String(each.getAttribute("data-class") === kept));
    },
  };
}

/**
 * @param {ClassValue} described
 * @param {(name: string) => void} choose
 */
function chip({ name, key, colour, description }, choose) {
  const swatch = h("span", { class: "swatch" });
  swatch.style.background = colour;
  const made = h("button", { type: "button", class: "quiet-button class-chip", "data-class": name, title: description || name },
    h("kbd", {}, String(key)), swatch, h("span", { class: "class-name" }, name));
  made.addEventListener("click", () => choose(name));
  return made;
}
