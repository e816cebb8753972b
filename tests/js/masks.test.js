import assert from "node:assert/strict";
import { test } from "node:test";

import { outlines } from "../../segr1_app/ui/static/canvas/outline.js";
import { withLayers, painted } from "../../segr1_app/ui/static/canvas/paint.js";
import { encodeRle, maskAt } from "../../segr1_app/ui/static/shared/rle.js";

/** @param {string[]} rows "#" is inside */
const maskOf = (...rows) => Uint8Array.from(rows.join(""), (sign) => +(sign === "#"));

/** Twice the area that a loop of places goes round, by its sense of rotation. @param {number[]} loop */
function turned(loop) {
  let sum = 0;
  for (let at = 0; at < loop.length; at += 2) {
    const next = (at + 2) % loop.length;
    sum += loop[at] * loop[next + 1] - loop[next] * loop[at + 1];
  }
  return sum;
}

test("a mask written and read is the same mask", () => {
  const width = 97;
  const height = 53;
  let seed = 1;
  const noise = Uint8Array.from({ length: width * height }, () => (seed = (seed * 48271) % 2147483647) & 1);
  for (const mask of [noise, new Uint8Array(width * height), new Uint8Array(width * height).fill(1)]) {
    const rle = encodeRle(mask, width, height);
    assert.deepEqual(rle.size, [height, width]);
    assert.deepEqual(maskAt(rle, width, height), mask);
  }
});

test("parts and holes have loops of their own, in opposite senses", () => {
  const loops = outlines(maskOf("####.#", "#..#..", "####.."), [6, 3]);
  assert.deepEqual(loops.map((loop) => Math.sign(turned(loop))).sort(), [-1, 1, 1]);
  for (const loop of loops) assert.ok(loop.every((value) => value >= 0));
});

test("a full frame is one loop along the border, an empty one has none", () => {
  const [loop, ...more] = outlines(new Uint8Array(12).fill(1), [4, 3]);
  assert.equal(more.length, 0);
  assert.equal(loop.length, 2 * (4 + 3 + 4 + 3));
  assert.deepEqual(outlines(new Uint8Array(12), [4, 3]), []);
});

test("pixels that touch at a corner are two parts", () => {
  assert.equal(outlines(maskOf("#.", ".#"), [2, 2]).length, 2);
});

test("what an earlier revision painted and erased lies on the mask, at the mask's own size", () => {
  const mask = maskOf("####", "####");
  const layer = (/** @type {string[]} */ ...rows) => encodeRle(maskOf(...rows), 2, 1);
  const both = withLayers(mask, [4, 2], { painted: layer(".#"), erased: layer("#.") });
  assert.deepEqual(both, maskOf("..##", "..##"));
  assert.deepEqual(withLayers(maskOf("....", "...."), [4, 2], { painted: layer(".#"), erased: null }), both);
  assert.deepEqual(mask, maskOf("####", "####"));
  assert.equal(withLayers(mask, [4, 2], { painted: null, erased: null }), mask);
});

test("brush and eraser apply in order, at the mask's own size, and leave the mask they are applied to", () => {
  const mask = new Uint8Array(50 * 40);
  /** @type {import("../../segr1_app/ui/static/canvas/types.js").Stroke[]} */
  const strokes = [
    { erase: false, radius: 8, path: [[20, 40], [80, 40]] },
    { erase: true, radius: 4, path: [[50, 40]] },
  ];
  const result = painted(mask, [50, 40], strokes, [100, 80]);
  const at = (/** @type {number} */ x, /** @type {number} */ y) => result[Math.floor(y / 2) * 50 + Math.floor(x / 2)];
  assert.deepEqual([at(20, 40), at(80, 40), at(50, 40), at(50, 46), at(50, 50), at(90, 40)], [1, 1, 0, 1, 0, 0]);
  assert.ok(mask.every((value) => value === 0));
});

test("an area covers the pixels whose centres its path winds around, also where it crosses itself", () => {
  const size = /** @type {[number, number]} */ ([10, 8]);
  const area = (/** @type {boolean} */ erase, /** @type {[number, number][]} */ ...path) => ({ erase, radius: null, path });
  const square = area(false, [1, 1], [6, 1], [6, 6], [1, 6]);
  const hole = area(true, [2, 2], [4, 2], [4, 4], [2, 4]);
  const filled = painted(new Uint8Array(80), size, [square, hole], size);
  assert.equal(filled.reduce((sum, inside) => sum + inside, 0), 25 - 4);
  assert.equal(filled[2 * 10 + 2], 0);
  // Twice around in the same sense is inside, not outside.
  const twice = area(false, [1, 1], [6, 1], [6, 6], [1, 6], [1, 1], [6, 1], [6, 6], [1, 6]);
  assert.equal(painted(new Uint8Array(80), size, [twice], size)[2 * 10 + 2], 1);
  // Half the picture's size, and beyond its border.
  const wide = area(false, [-9, -9], [30, -9], [30, 4], [-9, 4]);
  const halved = painted(new Uint8Array(20), [5, 4], [wide], size);
  assert.deepEqual([...halved], [...new Array(10).fill(1), ...new Array(10).fill(0)]);
});
