/** @typedef {{annotator: string, task: number}} Wish */

/** @type {((wish: Wish) => void) | null} */
let opener = null;
/** @type {Wish | null} */
let waiting = null;

/**
 * Ask the Annotate tab to open a task, or to do so as soon as it is there: gradio builds a tab when it is first chosen.
 * @param {Wish} wish
 */
export function askFor(wish) {
  if (opener) opener(wish);
  else waiting = wish;
}

/**
 * Open from now on what is asked for, and what was.
 * @param {(wish: Wish) => void} open
 * @returns {boolean} whether something was
 */
export function openBy(open) {
  opener = open;
  const wish = waiting;
  waiting = null;
  if (wish) open(wish);
  return wish !== null;
}
