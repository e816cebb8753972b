/**
 * The difference of two masks of one size.
 * @param {Uint8Array} first 1 inside and 0 outside
 * @param {Uint8Array} second
 * @returns {{first: Uint8Array, second: Uint8Array, both: Uint8Array}} pixels of only the first, only the second and both
 */
export function parts(first, second) {
  return {
    first: first.map((inside, at) => inside & ~second[at]),
    second: second.map((inside, at) => inside & ~first[at]),
    both: first.map((inside, at) => inside & second[at]),
  };
}

/**
 * The share of each part in the union of both masks.
 * @param {{only_first: number, only_second: number, both: number}} pixels
 * @returns {{first: number, second: number, both: number} | null} in [0, 1]; null when both masks are empty
 */
export function shares({ only_first: first, only_second: second, both }) {
  const all = first + second + both;
  return all ? { first: first / all, second: second / all, both: both / all } : null;
}
