import assert from "node:assert/strict";
import { test } from "node:test";

import * as edit from "../../segr1_app/ui/static/canvas/prompts.js";
import { describePrompts, describeSelection } from "../../segr1_app/ui/static/canvas/descriptions.js";

const START = edit.promptsOf([
  { box: [10.4, 20, 50, 60], points: [{ x: 30, y: 40.6, label: 1 }, { x: 1, y: 2, label: 0 }] },
]);

test("the selection is described", () => {
  assert.equal(describeSelection(START), "");
  assert.equal(describeSelection(edit.cycleMarks(START, 1)), "Box from 10, 20 to 50, 60");
  assert.equal(describeSelection(edit.cycleMarks(START, -1)), "Negative point 2 of 2, at 1, 2");
  assert.match(describeSelection(edit.promptsOf([])), /no point and no box/);
});

test("a picture is described with what is on it", () => {
  assert.equal(describePrompts(edit.promptsOf([]), "Egg"), "Egg");
  assert.equal(describePrompts(edit.newObject(START), "Egg"), "Egg, with 1 object: 1 box, 1 positive and 1 negative points.");
});
