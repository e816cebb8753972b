/**
 * Effort per task and per day.
 * @typedef {import("../shared/contracts.js").WorkRecord} Tally
 * @typedef {import("../shared/contracts.js").DayWork} Day
 */

const DAY_MS = 86_400_000;

/**
 * A sum per decided task; null where nothing was decided.
 * @param {number} sum
 * @param {{done: number}} tally
 */
export function each(sum, { done }) {
  return done ? sum / done : null;
}

/**
 * The days up to the last one with work, including those without: as many as there are, between a least and a most.
 * @param {Day[]} days in order
 * @param {number} least
 * @param {number} most
 * @returns {{day: string, tally: Tally | null}[]}
 */
export function calendar(days, least, most) {
  const last = days.at(-1);
  if (!last) return [];
  const known = new Map(days.map((tally) => [tally.day, tally]));
  const end = Date.parse(last.day);
  const span = (end - Date.parse(days[0].day)) / DAY_MS + 1;
  const shown = Math.min(most, Math.max(least, span));
  return Array.from({ length: shown }, (_, index) => {
    const day = new Date(end - (shown - 1 - index) * DAY_MS).toISOString().slice(0, 10);
    return { day, tally: known.get(day) ?? null };
  });
}

/**
 * Working time in words.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
