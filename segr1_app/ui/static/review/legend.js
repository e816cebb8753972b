import { h } from "../shared/dom.js";
import { counted, figure } from "../shared/formatting.js";
import { shares } from "./overlay.js";
import { COLOURS } from "./panes.js";

/** The legend of the difference, with the share of each part. */
export function legend() {
  const iou = h("span", { class: "legend-iou", role: "status" });
  const rows = /** @type {const} */ ([["first", "Only in A"], ["second", "Only in B"], ["both", "In both"]]).map(
    ([part, text]) => {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = COLOURS[part];
      const share = h("dd", {});
      return { part, share, element: h("div", {}, h("dt", {}, swatch, text), share) };
    },
  );
  return {
    iou,
    element: h("dl", { class: "legend" }, ...rows.map((row) => row.element)),
    /** @param {import("../shared/contracts.js").MaskOverlap} found */
    render(found) {
      const parts = shares(found);
      iou.textContent = `IoU ${figure(found.iou, 3)}`;
      const pixels = { first: found.only_first, second: found.only_second, both: found.both };
      for (const { part, share } of rows) {
        share.textContent = parts ? `${figure(100 * parts[part], 1)} %` : "–";
        share.title = counted(pixels[part], "pixel");
      }
    },
  };
}
