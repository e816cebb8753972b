import assert from "node:assert/strict";
import { test } from "node:test";

import { cursorOf, gripAt } from "../../segr1_app/ui/static/canvas/hit.js";
import { newObject, promptsOf } from "../../segr1_app/ui/static/canvas/prompts.js";

const VIEW = { scale: 2, x: 100, y: 50 };
const PROMPTS = promptsOf([
  { box: [10, 20, 110, 120], points: [{ x: 60, y: 60, label: 1 }, { x: 62, y: 60, label: 0 }] },
]);

test("a point is held within its own radius, the nearest first, the later one on top", () => {
  assert.deepEqual(gripAt(PROMPTS, VIEW, [219, 170]), { object: 0, mark: { kind: "point", index: 0 } });
  assert.deepEqual(gripAt(PROMPTS, VIEW, [222, 170]), { object: 0, mark: { kind: "point", index: 1 } });
  assert.deepEqual(gripAt(PROMPTS, VIEW, [226, 170]), { object: 0, mark: { kind: "point", index: 1 } });
  assert.equal(gripAt(PROMPTS, VIEW, [250, 170]), null);
  assert.ok(gripAt(PROMPTS, VIEW, [243, 170], 2), "a finger reaches further");
});

test("edges and corners of the active box are held from both sides", () => {
  const edges = (/** @type {[number, number]} */ at) => /** @type {any} */ (gripAt(PROMPTS, VIEW, at))?.edges;
  assert.deepEqual(edges([118, 200]), [0]);
  assert.deepEqual(edges([324, 200]), [2]);
  assert.deepEqual(edges([160, 86]), [1]);
  assert.deepEqual(edges([317, 293]), [2, 3]);
  assert.equal(edges([200, 250]), undefined);
  assert.equal(edges([120, 320]), undefined, "on the line of an edge, but beyond its end");
});

test("a corner is held from as far as a point", () => {
  const edges = (/** @type {[number, number]} */ at) => /** @type {any} */ (gripAt(PROMPTS, VIEW, at))?.edges;
  assert.deepEqual(edges([110, 80]), [0, 1]);
  assert.deepEqual(edges([330, 80]), [2, 1]);
  assert.deepEqual(edges([129, 99]), [0, 1]);
  assert.equal(edges([108, 200]), undefined, "an edge is held from nearer");
});

test("the cursor tells what would be grabbed", () => {
  const cursor = (/** @type {[number, number]} */ at) => cursorOf(gripAt(PROMPTS, VIEW, at));
  assert.deepEqual([[250, 170], [220, 170], [120, 200], [200, 90], [120, 90], [320, 290], [320, 90], [120, 290]]
    .map((at) => cursor(/** @type {[number, number]} */ (at))),
  ["", "move", "ew-resize", "ns-resize", "nwse-resize", "nwse-resize", "nesw-resize", "nesw-resize"]);
});

test("of another object the points are held, not the box", () => {
  const other = newObject(PROMPTS);
  assert.deepEqual(gripAt(other, VIEW, [219, 170]), { object: 0, mark: { kind: "point", index: 0 } });
  assert.equal(gripAt(other, VIEW, [118, 200]), null);
});
