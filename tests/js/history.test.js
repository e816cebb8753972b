import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../segr1_app/ui/static/canvas/history.js";

test("ten thousand steps go back and forth", () => {
  const history = new History(0);
  for (let state = 1; state <= 10_000; state++) history.commit(state);
  let steps = 0;
  while (history.undo()) steps++;
  assert.deepEqual([steps, history.present], [10_000, 0]);
  while (history.redo()) steps--;
  assert.deepEqual([steps, history.present], [0, 10_000]);
});

test("an edit after undo ends what could be redone", () => {
  const history = new History("a");
  history.commit("b");
  history.undo();
  history.commit("c");
  assert.equal(history.redo(), false);
  history.undo();
  assert.equal(history.present, "a");
});

test("what is no edit makes no step", () => {
  const history = new History("a");
  history.commit("a");
  assert.equal(history.undo(), false);
  history.amend("a, seen otherwise");
  assert.equal(history.undo(), false);
  assert.equal(history.present, "a, seen otherwise");
});
