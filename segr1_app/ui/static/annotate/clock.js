const REST_MS = 60_000; // somebody who does nothing for that long is not working

/** Measures working time: not while the page is hidden, and not beyond a minute of inactivity. */
export class Clock {
  #seconds = 0;
  #since = 0;
  #touched = 0;

  constructor() {
    for (const kind of ["pointermove", "keydown", "wheel"])
      document.addEventListener(kind, () => this.#touch(), { passive: true });
    document.addEventListener("visibilitychange", () => this.#touch());
  }

  /** @param {number} seconds that were worked before */
  start(seconds) {
    this.#seconds = seconds;
    this.#since = this.#touched = performance.now();
  }

  get seconds() {
    return Math.round(10 * (this.#seconds + this.#worked(performance.now()) / 1000)) / 10;
  }

  #touch() {
    const now = performance.now();
    this.#seconds += this.#worked(now) / 1000;
    this.#since = this.#touched = now;
  }

  /** @param {number} now */
  #worked(now) {
    return Math.max(0, Math.min(now, this.#touched + REST_MS) - this.#since);
  }
}
