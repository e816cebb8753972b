import assert from "node:assert/strict";
import { test } from "node:test";

import { gotWorse } from "../../segr1_app/ui/static/train/outcome.js";

const nothing = { before: null, after: null, objects: null };
const segmenter = (/** @type {[number, number][]} */ ...ious) => ({
  ...nothing,
  objects: Object.fromEntries(ious.map((iou, at) => [`set ${at}`, { objects: 9, iou, clicks: [1, 1], interval: null }])),
});
const policy = (/** @type {number} */ old, /** @type {number} */ now) => ({
  ...nothing, before: { pairs: { reward: old }, feedback: null }, after: { pairs: { reward: now }, feedback: null },
});

test("a model is worse only if every known score fell", () => {
  assert.equal(gotWorse(nothing), false);
  assert.equal(gotWorse(segmenter([0.8, 0.7])), true);
  assert.equal(gotWorse(segmenter([0.8, 0.7], [0.5, 0.5])), false);
  assert.equal(gotWorse(policy(1.5, 1.4)), true);
  assert.equal(gotWorse(policy(1.5, 1.6)), false);
});
