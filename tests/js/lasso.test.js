import assert from "node:assert/strict";
import { test } from "node:test";

import { cornerAt, simplified } from "../../segr1_app/ui/static/canvas/lasso.js";

/** @typedef {[number, number]} Place */

test("a freehand outline keeps the places that give it its shape", () => {
  const square = /** @type {Place[]} */ ([]);
  for (let at = 0; at < 40; at++) square.push([at, at % 2 ? 0.2 : 0]);
  for (let at = 0; at < 40; at++) square.push([40, at]);
  square.push([40, 40]);
  assert.deepEqual(simplified(square, 0.5), [[0, 0], [40, 0], [40, 40]]);
  assert.equal(simplified(square, 0.05).length > 30, true);
});

test("a closed outline does not collapse, and what is short stays", () => {
  const loop = /** @type {Place[]} */ ([[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]);
  assert.deepEqual(simplified(loop, 0.5), loop);
  assert.deepEqual(simplified([[3, 4]], 0.5), [[3, 4]]);
  assert.deepEqual(simplified([[3, 4], [3, 4], [3, 4]], 0.5), [[3, 4], [3, 4]]);
});

test("the nearest corner within reach is held, from further away by a finger", () => {
  const view = { scale: 2, x: 10, y: 0 };
  const polygon = /** @type {Place[]} */ ([[0, 0], [4, 0], [40, 40]]);
  assert.equal(cornerAt(polygon, view, [16, 1], false), 1);
  assert.equal(cornerAt(polygon, view, [90, 66], false), -1);
  assert.equal(cornerAt(polygon, view, [90, 66], true), 2);
  assert.equal(cornerAt([], view, [0, 0], true), -1);
});
