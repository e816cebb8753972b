/** What the models behind the page understand, as the header learns it from the server. */

let present = "";
/** @type {((understands: string) => void)[]} */
const followers = [];

/** @param {string} understands in a sentence */
export function describeModels(understands) {
  present = understands;
  for (const call of followers) call(understands);
}

/**
 * Call back now and whenever other models are loaded.
 * @param {(understands: string) => void} call
 */
export function followModels(call) {
  followers.push(call);
  call(present);
}
