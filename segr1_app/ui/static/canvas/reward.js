import { h } from "../shared/dom.js";

const TERMS = /** @type {const} */ ({ format: "Format", iou: "IoU", s_measure: "S-measure", total: "Reward" });
const MEANINGS = /** @type {const} */ ({
  format: "1 where the policy's form of answer can hold the prompts, else 0",
  iou: "Overlap of the mask with the target: the area they share over the area they cover together, from 0 to 1",
  s_measure: "Likeness of the mask's structure with the target's, from 0 to 1",
  total: "What training optimises: format + 0.7 IoU + 0.3 S-measure",
});

/**
 * The terms of the reward for the present prompts, or the reason for their absence.
 * @returns {{element: HTMLElement, render: (reward: import("./live.js").Reward | null) => void}}
 */
export function rewardLine() {
  const values = Object.entries(TERMS).map(([term, name]) => {
    const value = h("dd", { "data-term": term }, "–");
    return { term: /** @type {keyof typeof TERMS} */ (term), value, pair: h("div", {}, h("dt", {}, name), value) };
  });
  const note = h("p", { class: "reward-note" });
  const element = h("div", { class: "stage-reward" },
    h("dl", { "aria-label": "Live reward" }, ...values.map(({ pair }) => pair)), note);
  return {
    element,
    render(reward) {
      for (const { term, value, pair } of values) {
        value.textContent = reward?.[term]?.toFixed(3) ?? "–";
        pair.title = `${MEANINGS[term]}.${reward ? ` ${reward.text}` : ""}`;
      }
      const rough = reward?.total != null && !reward.exact;
      note.textContent = reward ? `${reward.text}${rough ? " Approximate until you pause." : ""}` : "";
    },
  };
}
