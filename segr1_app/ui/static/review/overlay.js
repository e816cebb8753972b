/**
 * Two masks of one size, taken apart.
 * @param {Uint8Array} first 1 inside and 0 outside
 * @param {Uint8Array} second
 * @returns {{first: Uint8Array, second: Uint8Array, both: Uint8Array}} what only the one, only the other and both have
 */
export function parts(first, second) {
  return {
    first: first.map((inside, at) => inside & ~second[at]),
    second: second.map((inside, at) => inside & ~first[at]),
    both: first.map((inside, at) => inside & second[at]),
  };
}

/**
 * What each part is of all that either mask has.
 * @param {{only_first: number, only_second: number, both: number}} pixels
 * @returns {{first: number, second: number, both: number} | null} in [0, 1]; null when both masks are empty
 */
export function shares({ only_first: first, only_second: second, both }) {
  const all = first + second + both;
  return all ? { first: first / all, second: second / all, both: both / all } : null;
}
