import { h } from "../shared/dom.js";
import { maskAt } from "../shared/rle.js";

const SIDE = 88;

/**
 * @typedef {import("../shared/contracts.js").ComparedAnswers} Comparison
 */

/**
 * What a comparison of several answers came to, in a sentence.
 * @param {Comparison} comparison
 */
export function outcome({ answers, replaced, picked }) {
  if (picked) return "You picked this answer.";
  if (answers < 2) return "This policy gives one answer only: there was nothing to compare.";
  if (replaced) return `Of ${answers} answers this one agrees best with all: it took the place of the first.`;
  return `Of ${answers} answers the first agrees best with all.`;
}

/**
 * The answers as small masks to pick from, the one that agrees best first.
 * @param {Comparison} comparison
 * @param {(index: number) => void} pick
 * @returns {HTMLElement[]}
 */
export function candidateButtons({ candidates }, pick) {
  return candidates.map(({ mask, mean_iou, shown }, index) => {
    const percent = `${Math.round(100 * mean_iou)} %`;
    const button = h(
      "button",
      { type: "button", class: "candidate", "aria-pressed": String(shown),
        "aria-label": `Answer ${index + 1}, agrees with all by ${percent}`,
        title: `Mean IoU with all answers: ${percent}` },
      drawing(mask),
      h("span", {}, percent),
    );
    button.addEventListener("click", () => !shown && pick(index));
    return button;
  });
}

/** @param {import("../canvas/types.js").Rle} mask */
function drawing(mask) {
  const [fullHeight, fullWidth] = mask.size;
  const scale = SIDE / Math.max(fullHeight, fullWidth);
  const [width, height] = [fullWidth, fullHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = h("canvas", { width: String(width), height: String(height), "aria-hidden": "true" });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  maskAt(mask, width, height).forEach((inside, at) => image.data.fill(inside ? 255 : 0, 4 * at, 4 * at + 4));
  context.putImageData(image, 0, 0);
  return canvas;
}
