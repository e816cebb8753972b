/**
 * The outlines of a mask: closed loops around its parts and its holes, with the mask on the right-hand side. Corners
 * are cut between the middles of pixel edges, which keeps slanted lines straight to the eye.
 * @param {Uint8Array} mask 1 inside and 0 outside, row by row
 * @param {import("./types.js").Size} size of the mask
 * @returns {number[][]} loops of x, y, x, y, ... in mask pixels
 */
export function outlines(mask, [width, height]) {
  const inside = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const seen = new Uint8Array(mask.length);
  const loops = [];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      // Every loop goes east along the top of some pixel.
      if (mask[at] && !seen[at] && !(y && mask[at - width])) loops.push(follow(x, y, inside, seen, width));
    }
  return loops;
}

const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // east, south, west, north
const AHEAD_RIGHT = [[0, 0], [-1, 0], [-1, -1], [0, -1]]; // the pixel ahead and to the right, from a corner
const AHEAD_LEFT = [[0, -1], [0, 0], [-1, 0], [-1, -1]];

/**
 * Walk along pixel edges from the corner (x, y) eastwards until back there.
 * @param {number} startX
 * @param {number} startY
 * @param {(x: number, y: number) => boolean} inside
 * @param {Uint8Array} seen marks the pixels whose top was walked along
 * @param {number} width
 * @returns {number[]}
 */
function follow(startX, startY, inside, seen, width) {
  const loop = [];
  let [x, y, heading] = [startX, startY, 0];
  do {
    if (heading === 0) seen[y * width + x] = 1;
    const [dx, dy] = STEPS[heading];
    loop.push(x + dx / 2, y + dy / 2);
    x += dx;
    y += dy;
    const [rx, ry] = AHEAD_RIGHT[heading];
    const [lx, ly] = AHEAD_LEFT[heading];
    if (!inside(x + rx, y + ry)) heading = (heading + 1) % 4;
    else if (inside(x + lx, y + ly)) heading = (heading + 3) % 4;
  } while (x !== startX || y !== startY || heading !== 0);
  return loop;
}
