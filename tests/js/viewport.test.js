import assert from "node:assert/strict";
import { test } from "node:test";

import * as viewport from "../../segr1_app/ui/static/canvas/viewport.js";

/** @type {[number, number][]} */
const PICTURES = [[4000, 500], [300, 3000], [64, 64], [640, 480]];
/** @type {[number, number]} */
const CANVAS = [800, 600];

const near = (/** @type {number[]} */ a, /** @type {number[]} */ b) =>
  a.forEach((value, index) => assert.ok(Math.abs(value - b[index]) < 1e-6, `${a} is not ${b}`));

for (const picture of PICTURES) {
  test(`a picture of ${picture} fits, wholly and in the middle`, () => {
    const view = viewport.fit(picture, CANVAS);
    const [left, top] = viewport.toCanvas(view, [0, 0]);
    const [right, bottom] = viewport.toCanvas(view, picture);
    near([left + right, top + bottom], CANVAS);
    assert.ok(left >= -1e-9 && top >= -1e-9 && (left < 1e-6 || top < 1e-6));
  });

  test(`in a picture of ${picture} a place and back is the same place, zoomed and panned`, () => {
    let view = viewport.zoom(viewport.fit(picture, CANVAS), 2.7, [123, 456], picture, CANVAS);
    view = viewport.pan(view, [31, -17], picture, CANVAS);
    near(viewport.toPicture(view, viewport.toCanvas(view, [12.5, 33.25])), [12.5, 33.25]);
  });

  test(`zooming keeps what is under the pointer of a picture of ${picture}`, () => {
    const view = viewport.fit(picture, CANVAS);
    const middle = /** @type {[number, number]} */ ([CANVAS[0] / 2, CANVAS[1] / 2]);
    near(viewport.toPicture(viewport.zoom(view, 3, middle, picture, CANVAS), middle), viewport.toPicture(view, middle));
    assert.equal(viewport.oneToOne(view, picture, CANVAS).scale, 1);
  });
}

test("zoom has ends, and panning leaves some of the picture in sight", () => {
  const picture = PICTURES[3];
  const fitted = viewport.fit(picture, CANVAS);
  assert.equal(viewport.zoom(fitted, 1e6, [0, 0], picture, CANVAS).scale, 32);
  assert.equal(viewport.zoom(fitted, 1e-6, [0, 0], picture, CANVAS).scale, fitted.scale / 2);
  const away = viewport.pan(fitted, [1e5, -1e5], picture, CANVAS);
  const [left, bottom] = [viewport.toCanvas(away, [0, 0])[0], viewport.toCanvas(away, picture)[1]];
  assert.ok(left < CANVAS[0] && bottom > 0);
});

test("a picture smaller than the canvas stays in its middle", () => {
  const picture = PICTURES[3];
  const small = viewport.zoom(viewport.fit(picture, CANVAS), 0.6, [10, 10], picture, CANVAS);
  const [[left, top], [right, bottom]] = [viewport.toCanvas(small, [0, 0]), viewport.toCanvas(small, picture)];
  near([left + right, top + bottom], CANVAS);
});

test("a box is fitted in the middle with a margin, and a tiny one not beyond the largest scale", () => {
  const view = viewport.fitBox([100, 200, 300, 250], [4000, 500], CANVAS);
  near(viewport.toCanvas(view, [100, 225]), [80, 300]);
  near(viewport.toCanvas(view, [300, 225]), [720, 300]);
  assert.equal(viewport.fitBox([10, 10, 11, 11], [640, 480], CANVAS).scale, 32);
});
