/** @typedef {{annotator: string, task: number}} Wish */

/** @type {((wish: Wish) => void) | null} */
let opener = null;
/** @type {Wish | null} */
let waiting = null;

/**
 * Ask the Annotate tab to open a task, now or once it exists: gradio builds a tab when it is first selected.
 * @param {Wish} wish
 */
export function askFor(wish) {
  if (opener) opener(wish);
  else waiting = wish;
}

/**
 * Register the handler of such requests; one that is waiting is served at once.
 * @param {(wish: Wish) => void} open
 * @returns {boolean} whether one was waiting
 */
export function openBy(open) {
  opener = open;
  const wish = waiting;
  waiting = null;
  if (wish) open(wish);
  return wish !== null;
}
