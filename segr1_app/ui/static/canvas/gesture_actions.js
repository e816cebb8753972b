import { cursorOf, gripAt } from "./hit.js";
import { lassoActions } from "./lasso_actions.js";
import { thinned } from "./paint.js";
import * as edit from "./prompts.js";
import * as viewport from "./viewport.js";

/**
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Prompts} Prompts
 */

/**
 * The effect of each gesture on a canvas: from positions on the screen to edits in picture pixels.
 * @param {import("./view.js").Canvas} canvas
 * @returns {import("./gestures.js").GestureActions}
 */
export function gestureActions(canvas) {
  const within = (/** @type {Place} */ place) =>
    edit.settle(viewport.toPicture(canvas.view, place), canvas.picture);
  const inside = (/** @type {Place} */ place) => {
    const [x, y] = viewport.toPicture(canvas.view, place);
    return x >= 0 && y >= 0 && x <= canvas.picture[0] && y <= canvas.picture[1];
  };
  const pass = (/** @type {Prompts} */ prompts, /** @type {boolean} */ done, asks = true) => {
    if (done) return canvas.commit(prompts);
    canvas.passing = prompts;
    if (asks) canvas.send(true);
    canvas.draw();
  };
  const lasso = lassoActions(canvas, pass);
  const grip = (/** @type {Place} */ at, /** @type {boolean} */ finger) =>
    canvas.look.marks ? gripAt(canvas.prompts, canvas.view, at, finger ? 2 : 1) : null;
  return {
    resting: () => canvas.resting,
    tool: () => canvas.tool,
    grip,
    point: (at, label) => inside(at) && canvas.commit(edit.addPoint(canvas.prompts, within(at), label)),
    take: (grip) => canvas.choose(edit.take(canvas.prompts, grip)),
    drag: (grip, from, to, done) => {
      const by = /** @type {Place} */ ([(to[0] - from[0]) / canvas.view.scale, (to[1] - from[1]) / canvas.view.scale]);
      pass(edit.drag(canvas.prompts, grip, by, canvas.picture), done);
    },
    box: (from, to, done) => pass(edit.setBox(canvas.prompts, within(from), within(to)), done),
    stroke: (path, done) => {
      const places = path.map((place) => viewport.toStroke(canvas.view, place));
      const stroke = { erase: canvas.tool === "eraser", radius: canvas.brush, path: thinned(places, canvas.brush) };
      pass(edit.addStroke(canvas.prompts, stroke), done, false);
    },
    ...lasso.actions,
    pan: (by) => canvas.lookAt(viewport.pan(canvas.view, by, canvas.picture, canvas.area)),
    zoom: (factor, at) => canvas.lookAt(viewport.zoom(canvas.view, factor, at, canvas.picture, canvas.area)),
    cancel: () => {
      lasso.cancel();
      if (!canvas.passing) return;
      canvas.passing = null;
      canvas.send(false);
      canvas.draw();
    },
    hover: (at) => {
      canvas.pointer = at;
      // During a drag the cursor stays that of what was grabbed.
      if (!canvas.passing) canvas.point(at && canvas.tool === "prompt" ? cursorOf(grip(at, false)) : "");
      canvas.draw();
    },
  };
}
