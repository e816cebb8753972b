/**
 * Every edit of the prompts, as a function from one state to the next; no state is ever changed in place.
 * @typedef {import("./types.js").Prompts} Prompts
 * @typedef {import("./types.js").Prompt} Prompt
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Size} Size
 */

const LEAST_SIDE = 1; // of a box, in picture pixels

/**
 * The state for given prompts; without any, one empty object.
 * @param {import("./types.js").GivenObject[]} objects
 * @param {string} [kept] the class of the empty object
 * @returns {Prompts}
 */
export function promptsOf(objects, kept = "") {
  const given = objects.map(
    ({ box, points, name = "", strokes = [], start = null, painted = null, erased = null, clean = false }, id) => ({
      id, name, box, points, strokes, start, painted, erased, clean,
    }));
  return { objects: given.length ? given : [blank(0, kept)], active: 0, mark: null };
}

/**
 * @param {Prompts} prompts
 * @returns {Prompt}
 */
export function activeObject(prompts) {
  return prompts.objects[prompts.active];
}

/**
 * Whether an object has nothing that a mask could come from.
 * @param {Prompt} object
 */
export function isBlank({ box, points, strokes, start, painted, erased }) {
  return !box && !points.length && !strokes.length && !start && !painted && !erased;
}

/**
 * Whether two states lead to the same masks in the same way; names, empty objects and the selection do not matter.
 * @param {Prompts} one
 * @param {Prompts} other
 */
export function isSameWork(one, other) {
  return one.objects === other.objects || work(one) === work(other);
}

/** @param {Prompts} prompts */
function work({ objects }) {
  const some = objects.filter((object) => !isBlank(object));
  return JSON.stringify(some.map(({ box, points, strokes, start, painted, erased, clean }) =>
    [box, points.map(({ x, y, label }) => [x, y, label]), strokes, start, painted, erased, clean]));
}

/**
 * A position as it is stored: within the picture, to a hundredth of a pixel.
 * @param {Place} place
 * @param {Size} size of the picture
 * @returns {Place}
 */
export function settle([x, y], [width, height]) {
  return [settled(x, width), settled(y, height)];
}

/**
 * @param {Prompts} prompts
 * @param {Place} place
 * @param {0 | 1} label
 * @returns {Prompts}
 */
export function addPoint(prompts, [x, y], label) {
  const { points } = activeObject(prompts);
  return {
    ...change(prompts, { points: [...points, { x, y, label }] }),
    mark: { kind: "point", index: points.length },
  };
}

/**
 * Set the active object's box to the one between two positions; one too small to be seen changes nothing.
 * @param {Prompts} prompts
 * @param {Place} from
 * @param {Place} to
 * @returns {Prompts}
 */
export function setBox(prompts, [ax, ay], [bx, by]) {
  if (Math.abs(ax - bx) < LEAST_SIDE || Math.abs(ay - by) < LEAST_SIDE) return prompts;
  const box = /** @type {import("./types.js").Box} */ (
    [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)]
  );
  return { ...change(prompts, { box }), mark: { kind: "box" } };
}

/**
 * Make the object with the mark under a grip the active one.
 * @param {Prompts} prompts
 * @param {import("./types.js").Grip} grip
 * @returns {Prompts}
 */
export function take(prompts, grip) {
  return { ...prompts, active: grip.object, mark: grip.mark };
}

/**
 * Move the grabbed mark by the distance the pointer moved.
 * @param {Prompts} prompts
 * @param {import("./types.js").Grip} grip
 * @param {Place} by
 * @param {Size} size of the picture
 * @returns {Prompts}
 */
export function drag(prompts, grip, by, size) {
  const taken = take(prompts, grip);
  return "edges" in grip ? dragEdges(taken, grip.edges, by, size) : movePoint(taken, grip.mark.index, by, size);
}

/**
 * Move the selected point, or the whole selected box.
 * @param {Prompts} prompts
 * @param {Place} by
 * @param {Size} size of the picture
 * @returns {Prompts}
 */
export function nudge(prompts, by, size) {
  const { mark } = prompts;
  if (!mark) return prompts;
  if (mark.kind === "point") return movePoint(prompts, mark.index, by, size);
  const { box } = activeObject(prompts);
  if (!box) return prompts;
  // A box keeps its size at the border.
  const dx = Math.min(Math.max(by[0], -box[0]), size[0] - box[2]);
  const dy = Math.min(Math.max(by[1], -box[1]), size[1] - box[3]);
  return dragEdges(prompts, [0, 1, 2, 3], [dx, dy], size);
}

/**
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function flip(prompts) {
  const { mark } = prompts;
  if (mark?.kind !== "point") return prompts;
  const points = activeObject(prompts).points.map((point, index) =>
    index === mark.index ? { ...point, label: /** @type {0 | 1} */ (1 - point.label) } : point,
  );
  return change(prompts, { points });
}

/**
 * Remove the selected point or box.
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function removeMark(prompts) {
  const { mark } = prompts;
  if (!mark) return prompts;
  const { points } = activeObject(prompts);
  const changed = mark.kind === "box" ? { box: null } : { points: points.filter((_, index) => index !== mark.index) };
  return { ...change(prompts, changed), mark: null };
}

/**
 * Remove the active object's points and its box; what was painted stays.
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function clearPrompts(prompts) {
  const { box, points } = activeObject(prompts);
  return box || points.length ? { ...change(prompts, { box: null, points: [] }), mark: null } : prompts;
}

/**
 * Add objects with their points, boxes and names to those there are; empty ones give way.
 * @param {Prompts} prompts
 * @param {Pick<Prompt, "box" | "points" | "name">[]} given
 * @param {Size} size of the picture, within which they are put
 * @returns {Prompts}
 */
export function addObjects(prompts, given, [width, height]) {
  const kept = prompts.objects.filter((object) => !isBlank(object));
  const fitting = given.map(({ box, points, name }) => ({
    name,
    box: box && /** @type {import("./types.js").Box} */ (
      [settled(box[0], width), settled(box[1], height), settled(box[2], width), settled(box[3], height)]),
    points: points.map(({ x, y, label }) => ({ x: settled(x, width), y: settled(y, height), label })),
  })).map((each) => (each.box && (each.box[0] >= each.box[2] || each.box[1] >= each.box[3]) ? { ...each, box: null } : each))
    .filter(({ box, points }) => box || points.length);
  if (!fitting.length) return prompts;
  const first = nextId(prompts);
  const added = fitting.map((each, index) => ({ ...blank(first + index), ...each }));
  return { objects: [...kept, ...added], active: kept.length, mark: null };
}

/**
 * Add an object that was found, with a mask to refine, and make it the active one; empty ones give way.
 * @param {Prompts} prompts
 * @param {Pick<Prompt, "name" | "box" | "start">} given
 * @returns {Prompts}
 */
export function addFound(prompts, given) {
  const kept = prompts.objects.filter((object) => !isBlank(object));
  return { objects: [...kept, { ...blank(nextId(prompts)), ...given }], active: kept.length, mark: null };
}

/**
 * Remove the active object with everything that belongs to it.
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function removeObject(prompts) {
  const objects = prompts.objects.filter((_, index) => index !== prompts.active);
  if (!objects.length) objects.push(blank(nextId(prompts)));
  return { objects, active: Math.min(prompts.active, objects.length - 1), mark: null };
}

/**
 * Activate an empty object: an existing one, or else a new one.
 * @param {Prompts} prompts
 * @param {string} [kept] its class, unless it has one
 * @returns {Prompts}
 */
export function newObject(prompts, kept = "") {
  const empty = prompts.objects.findIndex(isBlank);
  if (empty >= 0) return rename(activate(prompts, empty), empty, prompts.objects[empty].name || kept);
  return { objects: [...prompts.objects, blank(nextId(prompts), kept)], active: prompts.objects.length, mark: null };
}

/**
 * Add a copy of the active object, and activate it; an empty one is not copied.
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function duplicate(prompts) {
  const object = activeObject(prompts);
  if (isBlank(object)) return prompts;
  const objects = [...prompts.objects, { ...object, id: nextId(prompts) }];
  return { objects, active: objects.length - 1, mark: null };
}

/**
 * @param {Prompts} prompts
 * @param {number} index
 * @returns {Prompts}
 */
export function activate(prompts, index) {
  return { ...prompts, active: index, mark: null };
}

/**
 * Activate the next object, cyclically.
 * @param {Prompts} prompts
 * @param {1 | -1} step
 * @returns {Prompts}
 */
export function cycle(prompts, step) {
  const count = prompts.objects.length;
  return activate(prompts, (prompts.active + step + count) % count);
}

/**
 * Select the next mark of the active object, cyclically: its box, then its points.
 * @param {Prompts} prompts
 * @param {1 | -1} step
 * @returns {Prompts}
 */
export function cycleMarks(prompts, step) {
  const { box, points } = activeObject(prompts);
  const marks = /** @type {import("./types.js").Mark[]} */ ([
    ...(box ? [{ kind: "box" }] : []), ...points.map((_, index) => ({ kind: "point", index })),
  ]);
  if (!marks.length) return prompts;
  const { mark } = prompts;
  const at = mark?.kind === "point" ? marks.length - points.length + mark.index : mark ? 0 : step > 0 ? -1 : 0;
  return { ...prompts, mark: marks[(at + step + marks.length) % marks.length] };
}

/**
 * @param {Prompts} prompts
 * @param {number} index
 * @param {string} name
 * @returns {Prompts}
 */
export function rename(prompts, index, name) {
  return replace(prompts, index, { name });
}

/**
 * Name the active object; if it was the last one to be named, then the next object without a class, which is activated.
 * @param {Prompts} prompts
 * @param {string} name
 * @param {number | null} last the id of the object that was named last
 * @returns {Prompts}
 */
export function nameNext(prompts, name, last) {
  const { objects, active } = prompts;
  const others = objects.map((_, step) => (active + 1 + step) % objects.length);
  const nameless = others.find((index) => !objects[index].name && !isBlank(objects[index]));
  const next = objects[active].id === last ? nameless : undefined;
  return next === undefined ? rename(prompts, active, name) : rename(activate(prompts, next), next, name);
}

/**
 * @param {Prompts} prompts
 * @param {import("./types.js").Stroke} stroke
 * @returns {Prompts}
 */
export function addStroke(prompts, stroke) {
  return change(prompts, { strokes: [...activeObject(prompts).strokes, stroke] });
}

/**
 * Clean small parts and holes from the active object's mask, or not any more.
 * @param {Prompts} prompts
 * @returns {Prompts}
 */
export function toggleClean(prompts) {
  const object = activeObject(prompts);
  return isBlank(object) ? prompts : change(prompts, { clean: !object.clean });
}

/**
 * Let the segmenter refine a mask. Strokes are part of that mask from here on.
 * @param {Prompts} prompts
 * @param {import("./types.js").Rle} start
 * @returns {Prompts}
 */
export function refineFrom(prompts, start) {
  return change(prompts, { start, strokes: [], painted: null, erased: null, clean: false });
}

/**
 * Replace all objects by one whose layers make up its mask, whatever its prompts lead to.
 * @param {Prompts} prompts
 * @param {Pick<Prompt, "box" | "painted" | "erased">} given
 * @returns {Prompts}
 */
export function startFrom(prompts, given) {
  return { objects: [{ ...blank(nextId(prompts)), name: activeObject(prompts).name, ...given }], active: 0, mark: null };
}

/**
 * @param {Prompts} prompts
 * @param {Partial<Prompt>} changed
 * @returns {Prompts}
 */
function change(prompts, changed) {
  return replace(prompts, prompts.active, changed);
}

/**
 * @param {Prompts} prompts
 * @param {number} index
 * @param {Partial<Prompt>} changed
 * @returns {Prompts}
 */
function replace(prompts, index, changed) {
  const objects = prompts.objects.map((object, at) => (at === index ? { ...object, ...changed } : object));
  return { ...prompts, objects };
}

/**
 * @param {Prompts} prompts
 * @param {number} index
 * @param {Place} by
 * @param {Size} size
 */
function movePoint(prompts, index, by, size) {
  const points = activeObject(prompts).points.map((point, at) => {
    if (at !== index) return point;
    const [x, y] = settle([point.x + by[0], point.y + by[1]], size);
    return { ...point, x, y };
  });
  return change(prompts, { points });
}

/**
 * @param {Prompts} prompts
 * @param {number[]} edges
 * @param {Place} by
 * @param {Size} size
 */
function dragEdges(prompts, edges, by, size) {
  const { box } = activeObject(prompts);
  if (!box) return prompts;
  const moved = box.map((edge, index) =>
    edges.includes(index) ? settled(edge + by[index % 2], size[index % 2]) : edge,
  );
  // An edge that is dragged past its opposite flips the box.
  return setBox(prompts, [moved[0], moved[1]], [moved[2], moved[3]]);
}

/**
 * @param {number} value
 * @param {number} limit
 */
function settled(value, limit) {
  return Math.round(100 * Math.min(Math.max(value, 0), limit)) / 100;
}

/**
 * @param {number} id
 * @param {string} [name]
 * @returns {Prompt}
 */
function blank(id, name = "") {
  return { id, name, box: null, points: [], strokes: [], start: null, painted: null, erased: null, clean: false };
}

/** @param {Prompts} prompts */
function nextId({ objects }) {
  return 1 + Math.max(...objects.map(({ id }) => id));
}
