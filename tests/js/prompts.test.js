import assert from "node:assert/strict";
import { test } from "node:test";

import * as edit from "../../segr1_app/ui/static/canvas/prompts.js";

/** @type {[number, number]} */
const SIZE = [200, 100];
const START = edit.promptsOf([{ box: [10, 20, 50, 60], points: [{ x: 30, y: 40, label: 1 }], name: "cat" }]);

test("an empty picture begins with one empty object", () => {
  const prompts = edit.promptsOf([]);
  assert.equal(prompts.objects.length, 1);
  assert.ok(edit.isBlank(edit.activeObject(prompts)));
});

test("no edit changes the state it came from", () => {
  const before = JSON.stringify(START);
  edit.addPoint(START, [1, 2], 0);
  edit.setBox(START, [1, 2], [3, 4]);
  edit.removeMark({ ...START, mark: { kind: "box" } });
  edit.flip({ ...START, mark: { kind: "point", index: 0 } });
  edit.newObject(START);
  edit.addStroke(START, { erase: false, radius: 3, path: [[1, 1]] });
  assert.equal(JSON.stringify(START), before);
});

test("a point goes to the active object and is chosen", () => {
  const prompts = edit.addPoint(START, [5, 6], 0);
  assert.deepEqual(edit.activeObject(prompts).points[1], { x: 5, y: 6, label: 0 });
  assert.deepEqual(prompts.mark, { kind: "point", index: 1 });
  assert.equal(edit.activeObject(edit.flip(prompts)).points[1].label, 1);
  assert.equal(edit.activeObject(edit.removeMark(prompts)).points.length, 1);
});

test("a box is the same drawn from any corner, and none when it has no area", () => {
  const drawn = [[[1, 2], [8, 9]], [[8, 9], [1, 2]], [[8, 2], [1, 9]]].map(
    ([from, to]) => edit.activeObject(edit.setBox(START, /** @type {any} */ (from), /** @type {any} */ (to))).box,
  );
  for (const box of drawn) assert.deepEqual(box, [1, 2, 8, 9]);
  assert.equal(edit.setBox(START, [1, 2], [1.5, 90]), START);
});

test("an edge pulled over its opposite turns the box round", () => {
  const grip = { object: 0, mark: { kind: /** @type {const} */ ("box") }, edges: [0] };
  assert.deepEqual(edit.activeObject(edit.drag(START, grip, [70, 5], SIZE)).box, [50, 20, 80, 60]);
});

test("nothing leaves the picture", () => {
  assert.deepEqual(edit.settle([-3, 100.004], SIZE), [0, 100]);
  assert.deepEqual(edit.settle([250, 1.23456], SIZE), [200, 1.23]);
  const grip = { object: 0, mark: { kind: /** @type {const} */ ("point"), index: 0 } };
  const { points } = edit.activeObject(edit.drag(START, grip, [500, -500], SIZE));
  assert.deepEqual(points[0], { x: 200, y: 0, label: 1 });
  const nudged = edit.nudge({ ...START, mark: { kind: "box" } }, [-30, 70], SIZE);
  assert.deepEqual(edit.activeObject(nudged).box, [0, 60, 40, 100]);
});

test("a copy is another object with the same content, and an empty one is not copied", () => {
  const two = edit.duplicate(START);
  const [{ id, ...first }, { id: other, ...second }] = two.objects;
  assert.notEqual(id, other);
  assert.deepEqual(first, second);
  assert.equal(two.active, 1);
  const empty = edit.promptsOf([]);
  assert.equal(edit.duplicate(empty), empty);
});

test("objects are made, gone round and removed", () => {
  const two = edit.newObject(START);
  assert.equal(two.active, 1);
  assert.equal(edit.newObject(two).objects.length, 2, "an empty object is used before another is made");
  assert.equal(edit.cycle(two, 1).active, 0);
  assert.equal(edit.cycle(two, -1).active, 0);
  assert.equal(edit.rename(two, 1, "dog").objects[1].name, "dog");
  assert.equal(edit.removeObject(two).objects.length, 1);
  const last = edit.removeObject(START);
  assert.ok(edit.isBlank(edit.activeObject(last)));
  assert.notEqual(last.objects[0].id, START.objects[0].id);
});

test("refining takes the strokes into the mask it starts from", () => {
  const stroked = edit.addStroke(START, { erase: true, radius: 2, path: [[1, 1]] });
  const refined = edit.activeObject(edit.refineFrom(stroked, { size: [1, 2], counts: "11" }));
  assert.deepEqual(refined.strokes, []);
  assert.deepEqual(refined.start, { size: [1, 2], counts: "11" });
});

test("the marks of an object are gone round", () => {
  const two = edit.activate(edit.addPoint(START, [5, 6], 0), 0);
  const tour = (/** @type {1 | -1} */ step) => {
    let prompts = two;
    return [1, 2, 3, 4].map(() => (prompts = edit.cycleMarks(prompts, step)).mark);
  };
  const [box, first, second] = [{ kind: "box" }, { kind: "point", index: 0 }, { kind: "point", index: 1 }];
  assert.deepEqual(tour(1), [box, first, second, box]);
  assert.deepEqual(tour(-1), [second, first, box, second]);
  const unboxed = edit.removeMark({ ...two, mark: { kind: "box" } });
  assert.deepEqual(edit.cycleMarks(unboxed, 1).mark, first);
  const empty = edit.promptsOf([]);
  assert.equal(edit.cycleMarks(empty, 1), empty);
});

test("work that was taken back is none", () => {
  const more = edit.addPoint(START, [5, 6], 0);
  assert.ok(!edit.isSameWork(START, more));
  assert.ok(!edit.isSameWork(START, edit.addStroke(START, { erase: false, radius: 3, path: [[1, 1]] })));
  assert.ok(!edit.isSameWork(START, edit.removeObject(START)));
  assert.ok(edit.isSameWork(START, edit.removeMark(more)));
  assert.ok(edit.isSameWork(START, edit.rename(edit.newObject(START), 0, "dog")), "names and empty objects do not count");
});

test("a name goes to the object that was chosen, and after it to those without one", () => {
  const box = /** @type {[number, number, number, number]} */ ([1, 1, 9, 9]);
  let prompts = edit.promptsOf([{ box, points: [], name: "dog" }, { box, points: [] }, { box: null, points: [] }, { box, points: [] }]);
  prompts = edit.nameNext(prompts, "cat", null);
  assert.deepEqual(prompts.objects.map(({ name }) => name), ["cat", "", "", ""]);
  prompts = edit.nameNext(prompts, "cow", 0);
  prompts = edit.nameNext(prompts, "ox", 1);
  // Nothing is drawn for the third; with all others named, the active one is named again.
  assert.deepEqual(prompts.objects.map(({ name }) => name), ["cat", "cow", "", "ox"]);
  prompts = edit.nameNext(prompts, "elk", 3);
  assert.deepEqual([prompts.active, prompts.objects[3].name], [3, "elk"]);
});

test("a new object gets the class that is kept, and an empty one keeps its own", () => {
  assert.equal(edit.activeObject(edit.newObject(START, "dog")).name, "dog");
  assert.equal(edit.activeObject(edit.newObject(edit.promptsOf([{ box: null, points: [], name: "cat" }]), "dog")).name, "cat");
  assert.equal(edit.promptsOf([], "dog").objects[0].name, "dog");
});
