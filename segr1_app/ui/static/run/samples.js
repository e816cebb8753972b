import { h } from "../shared/dom.js";
import { bringPictures } from "./bringing.js";
import { replacing } from "./corrections.js";
import { tellAsker } from "./understands.js";

/**
 * A strip of photographs; a click triggers 'select' with its index, a picture from elsewhere with its path on the server.
 * @param {import("../shared/dom.js").Host} host its value is [{title, thumbnail}]
 */
export function mount({ element, props, trigger }) {
  /** @type {{title: string, thumbnail: string}[]} */
  const samples = props.value;
  const buttons = samples.map(({ title, thumbnail }, index) => {
    const button = h(
      "button",
      { type: "button", class: "sample", "aria-label": `Sample picture: ${title}`, title },
      h("img", { src: thumbnail, alt: "" }),
    );
    button.addEventListener("click", () => replacing(() => trigger("select", { index })));
    return button;
  });
  bringPictures((path) => trigger("select", { path }), tellAsker);
  element.replaceChildren(h("div", { class: "samples", role: "group", "aria-label": "Sample pictures" }, ...buttons));
}
