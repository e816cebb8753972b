/** The names of decisions where they are shown afterwards. */
export const VERDICTS = /** @type {const} */ ({ accept: "Accepted", fix: "Fixed", reject: "Rejected", skip: "Skipped" });

/** @typedef {keyof typeof VERDICTS} Verdict */

/**
 * A time, in the reader's own time zone and format.
 * @param {number} seconds since 1970
 */
export function moment(seconds) {
  return new Date(1000 * seconds).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/**
 * A number with a fixed number of digits, or a dash for none.
 * @param {number | null} value
 * @param {number} digits
 */
export function figure(value, digits) {
  if (value === null) return "–";
  return value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/**
 * @param {number} number
 * @param {string} one
 * @param {string} [more]
 */
export function counted(number, one, more = `${one}s`) {
  return `${number.toLocaleString()} ${number === 1 ? one : more}`;
}

/** @param {number} bytes */
export function gigabytes(bytes) {
  return `${figure(bytes / 1e9, bytes < 1e8 ? 3 : 1)} GB`;
}

/**
 * The progress of a download, and when it will end at the present rate.
 * @param {{done: number, total: number, seconds: number}} progress bytes, and seconds since its start
 */
export function progressText({ done, total, seconds }) {
  if (!total) return "Checking the size of the download…";
  const amount = `${gigabytes(done)} of ${gigabytes(total)}`;
  if (!done || seconds < 2) return `${amount} downloaded`;
  const minutes = Math.ceil(((total - done) * seconds) / done / 60);
  return `${amount} downloaded; ${counted(minutes, "minute")} to go`;
}
