/**
 * What the browser remembers between visits. In a foreign frame, as on a Space's page, storage may be blocked: then it
 * is remembered until the page is closed, and `isBlocked` says so.
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Memory
 */

/** @implements {Memory} */
class PageMemory {
  /** @type {Map<string, string>} */
  #items = new Map();

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}

const PROBE = "segr1-probe";

/**
 * The browser's own storage where it may be used, else memory of this page.
 * @param {() => Memory} open may throw, as `window.localStorage` does where it is blocked
 * @returns {Memory}
 */
export function storageOr(open) {
  try {
    const storage = open();
    storage.setItem(PROBE, "1");
    storage.removeItem(PROBE);
    return storage;
  } catch (error) {
    console.warn(error);
    return new PageMemory();
  }
}

/** @type {Memory} */
export const storage = storageOr(() => globalThis.localStorage);

/** Whether what is remembered is lost with the page. */
export const isBlocked = storage instanceof PageMemory;
