/**
 * Run lengths of a COCO RLE string: background first, down the columns.
 * Each length is written in groups of five bits, least significant first, the sixth bit saying that more follow; from
 * the fourth length on it is the difference to the one two before (the code of the COCO mask API).
 * @param {string} counts
 * @returns {number[]}
 */
export function runLengths(counts) {
  /** @type {number[]} */
  const runs = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0;
    let shift = 0;
    let group;
    do {
      group = counts.charCodeAt(at++) - 48;
      value |= (group & 0x1f) << shift;
      shift += 5;
    } while (group & 0x20);
    if (group & 0x10) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/**
 * A mask at the size of a canvas, which may be smaller than the picture: a canvas pixel takes the picture pixel under
 * its centre.
 * @param {{size: [number, number], counts: string}} rle size is [height, width] of the picture
 * @param {number} width of the canvas
 * @param {number} height of the canvas
 * @returns {Uint8Array} 1 inside and 0 outside, row by row
 */
export function maskAt(rle, width, height) {
  const [fullHeight, fullWidth] = rle.size;
  const mask = new Uint8Array(width * height);
  // Which canvas columns and rows sample a given picture column or row: first[i] up to first[i + 1].
  const columns = firstSamples(fullWidth, width);
  const rows = firstSamples(fullHeight, height);
  let at = 0;
  runLengths(rle.counts).forEach((length, index) => {
    const end = at + length;
    while (index % 2 === 1 && at < end) {
      const x = Math.floor(at / fullHeight);
      const top = at - x * fullHeight;
      const bottom = Math.min(fullHeight, top + end - at);
      for (let column = columns[x]; column < columns[x + 1]; column++)
        for (let row = rows[top]; row < rows[bottom]; row++) mask[row * width + column] = 1;
      at += bottom - top;
    }
    at = end;
  });
  return mask;
}

/**
 * For each picture index the first canvas index whose centre lies in it or after it.
 * @param {number} full length in the picture
 * @param {number} shown length on the canvas
 * @returns {Int32Array} of length full + 1
 */
function firstSamples(full, shown) {
  const first = new Int32Array(full + 1);
  for (let index = 0; index <= full; index++) first[index] = Math.max(0, Math.ceil((index * shown) / full - 0.5));
  return first;
}

/**
 * The tight box of a mask; null for an empty one.
 * @param {Uint8Array} mask 1 inside and 0 outside, row by row
 * @param {[number, number]} size width and height
 * @returns {[number, number, number, number] | null} left, top, right and bottom edge
 */
export function boxOf(mask, [width, height]) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  mask.forEach((inside, at) => {
    if (!inside) return;
    const [x, y] = [at % width, Math.floor(at / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
  });
  return right ? [left, top, right, bottom] : null;
}

/**
 * A mask as a COCO RLE, the counterpart of `maskAt`.
 * @param {Uint8Array} mask 1 inside and 0 outside, row by row
 * @param {number} width
 * @param {number} height
 * @returns {{size: [number, number], counts: string}}
 */
export function encodeRle(mask, width, height) {
  /** @type {number[]} */
  const runs = [];
  let [value, length] = [0, 0];
  for (let column = 0; column < width; column++)
    for (let row = 0; row < height; row++) {
      const here = mask[row * width + column];
      if (here !== value) {
        runs.push(length);
        [value, length] = [here, 0];
      }
      length++;
    }
  runs.push(length);
  const counts = runs.map((run, index) => written(index > 2 ? run - runs[index - 2] : run));
  return { size: [height, width], counts: counts.join("") };
}

/**
 * A number in groups of five bits, least significant first; the last group's highest bit is the sign.
 * @param {number} value
 */
function written(value) {
  let text = "";
  for (let more = true; more; ) {
    const group = value & 0x1f;
    value >>= 5;
    more = group & 0x10 ? value !== -1 : value !== 0;
    text += String.fromCharCode(group + (more ? 0x20 : 0) + 48);
  }
  return text;
}
