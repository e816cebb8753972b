/**
 * @typedef {{annotator: string, task: number | null}} Whose
 *
 * @typedef {object} Question
 * @property {string} annotator
 * @property {number} task
 * @property {{at?: number, parent?: number | null} & Record<string, any>} content "at" is when it was made, "parent" the
 *   annotator's revision that it follows
 */

/** Drafts that the server could not store, kept in this browser: a full disk on the server costs nobody's work. */
export class Unsent {
  /** @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} storage */
  constructor(storage) {
    this.storage = storage;
  }

  /** @param {Question} question */
  keep(question) {
    try {
      this.storage.setItem(place(question), JSON.stringify(question.content));
    } catch (error) {
      // No space here, either: it is still on the page.
      console.warn(error);
    }
  }

  /** @param {Whose} whose */
  forget(whose) {
    this.storage.removeItem(place(whose));
  }

  /**
   * The later one of the server's draft and the one kept here; nothing that was superseded by a save.
   * @template {{at?: number}} Draft
   * @param {Whose & {parent: number | null, draft: Draft | null}} held
   * @returns {Draft | null}
   */
  latest({ draft, parent, ...whose }) {
    const text = this.storage.getItem(place(whose));
    if (!text) return draft;
    const here = JSON.parse(text);
    const newer = here.parent === parent && here.at > (draft?.at ?? 0);
    if (!newer) this.forget(whose);
    return newer ? here : draft;
  }
}

/** @param {Whose} whose */
function place({ annotator, task }) {
  return `segr1-unsent:${task}:${annotator}`;
}
