import assert from "node:assert/strict";
import { test } from "node:test";

import * as edit from "../../segr1_app/ui/static/canvas/prompts.js";
import { chosen, described } from "../../segr1_app/ui/static/canvas/telling.js";

const START = edit.promptsOf([
  { box: [10.4, 20, 50, 60], points: [{ x: 30, y: 40.6, label: 1 }, { x: 1, y: 2, label: 0 }] },
]);

test("what is chosen is told", () => {
  assert.equal(chosen(START), "");
  assert.equal(chosen(edit.cycleMarks(START, 1)), "Box from 10, 20 to 50, 60");
  assert.equal(chosen(edit.cycleMarks(START, -1)), "Negative point 2 of 2, at 1, 2");
  assert.match(chosen(edit.promptsOf([])), /no point and no box/);
});

test("a picture is told with what is on it", () => {
  assert.equal(described(edit.promptsOf([]), "Egg"), "Egg");
  assert.equal(described(edit.newObject(START), "Egg"), "Egg, with 1 object: 1 boxes, 1 positive and 1 negative points.");
});
