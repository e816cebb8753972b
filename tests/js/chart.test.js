import assert from "node:assert/strict";
import test from "node:test";

import { smoothed, spread } from "../../segr1_app/ui/static/train/chart.js";

test("a smoothed line keeps its ends and passes through the mean of what is near", () => {
  assert.deepEqual(smoothed([]), []);
  assert.deepEqual(smoothed([3]), [3]);
  assert.deepEqual(smoothed([0, 3, 0]), [0, 1, 0]);
  const noisy = Array.from({ length: 20 }, (_, at) => at + (at % 2 ? 1 : -1));
  const calm = smoothed(noisy);
  assert.equal(calm.length, noisy.length);
  assert.ok(calm.slice(4, 16).every((value, at) => Math.abs(value - (at + 4)) < 0.2));
});

test("an axis has room around its values, also when they are all one", () => {
  for (const [low, high] of [[0, 1], [1.2, 1.2], [-3, -2.9]]) {
    const [bottom, top] = spread(low, high);
    assert.ok(bottom < low && high < top);
  }
});
