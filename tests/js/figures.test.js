import assert from "node:assert/strict";
import { test } from "node:test";

import { calendar, duration, each } from "../../segr1_app/ui/static/progress/figures.js";

const TALLY = { done: 1, per_hour: null, verdicts: { accept: 1, fix: 0, reject: 0, skip: 0 }, revisions: 1, clicks: 0,
  seconds: 0, iou_gained: null };
const worked = (/** @type {string[]} */ ...days) => days.map((day) => ({ ...TALLY, day }));

test("days without work are there, too, across the end of a month and of summer time", () => {
  const shown = calendar(worked("2026-10-24", "2026-11-01"), 3, 30);
  assert.equal(shown.length, 9);
  assert.deepEqual(shown.filter(({ tally }) => tally).map(({ day }) => day), ["2026-10-24", "2026-11-01"]);
  assert.equal(shown[2].day, "2026-10-26");
});

test("a calendar ends with the last work and has its least and its most", () => {
  const few = calendar(worked("2026-03-01"), 14, 30);
  assert.deepEqual([few.length, few[0].day, few[13].day], [14, "2026-02-16", "2026-03-01"]);
  const many = calendar(worked("2025-01-01", "2026-03-01"), 14, 30);
  assert.deepEqual([many.length, many[29].day], [30, "2026-03-01"]);
  assert.equal(many[0].tally, null, "what lies further back is left out");
  assert.deepEqual(calendar([], 14, 30), []);
});

test("a mean of nothing is none", () => {
  assert.equal(each(12, { done: 4 }), 3);
  assert.equal(each(12, { done: 0 }), null);
});

test("working time in words", () => {
  assert.deepEqual([0, 59.4, 60, 3599, 7260].map(duration), ["0 s", "59 s", "1 min", "1 h 0 min", "2 h 1 min"]);
});
