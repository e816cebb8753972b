import { h } from "../shared/dom.js";
import { pressOf } from "./keys.js";

/**
 * @typedef {{activate: (index: number) => void, rename: (index: number, name: string) => void, add: () => void,
 *   leave: (saves: boolean) => void}} Acts leave: the name is typed; the canvas gets the focus, and saves if asked to
 */

const LONGEST_NAME = "120";
/** The id of the list of names that the fields offer, which the tab that has classes puts on the page. */
export const CLASS_NAMES = "class-names";

/**
 * The row of objects: each in its colour with a field for its name, and one button to add another.
 * @param {Acts} acts
 * @returns {{element: HTMLElement, render: (prompts: import("./types.js").Prompts, colour: (index: number) => string)
 *   => void}}
 */
export function objectList(acts) {
  const list = h("ul", { class: "stage-objects", "aria-label": "Objects to edit" });
  const add = h("button", { type: "button", class: "quiet-button", title: "New object (N)" }, "+ Object");
  add.addEventListener("click", acts.add);
  const element = h("div", { class: "stage-objects-row" }, list, add);

  /** @type {{item: HTMLLIElement, swatch: HTMLButtonElement, field: HTMLInputElement}[]} */
  const rows = [];
  const grow = () => {
    const index = rows.length;
    const swatch = h("button", { type: "button", class: "object-pick" }, h("span", { class: "swatch" }));
    const field = h("input", { type: "text", class: "object-field", maxlength: LONGEST_NAME, spellcheck: "false",
      placeholder: `Object ${index + 1}`, list: CLASS_NAMES, "aria-label": `Class of object ${index + 1}` });
    swatch.addEventListener("click", () => acts.activate(index));
    field.addEventListener("focus", () => acts.activate(index));
    field.addEventListener("change", () => acts.rename(index, field.value));
    field.addEventListener("keydown", (event) => {
      const press = pressOf(event);
      if (!["Enter", "Escape", "Ctrl+Enter", "Ctrl+s"].includes(press) || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      // Given up, it is what it was; else it is taken over before anything is saved.
      if (press === "Escape") field.value = field.defaultValue;
      acts.leave(press === "Ctrl+Enter" || press === "Ctrl+s");
    });
    const item = h("li", {}, swatch, field);
    rows.push({ item, swatch, field });
    list.append(item);
  };

  return {
    element,
    // Rows are kept from one state to the next: a field that is being typed into must not be replaced.
    render({ objects, active }, colour) {
      while (rows.length < objects.length) grow();
      while (rows.length > objects.length) rows.pop()?.item.remove();
      rows.forEach(({ item, swatch, field }, index) => {
        item.classList.toggle("is-active", index === active);
        swatch.setAttribute("aria-label", `Edit object ${index + 1}`);
        swatch.setAttribute("aria-pressed", String(index === active));
        /** @type {HTMLElement} */ (swatch.firstElementChild).style.background = colour(index);
        field.defaultValue = objects[index].name;
        if (document.activeElement !== field) field.value = objects[index].name;
      });
    },
  };
}
