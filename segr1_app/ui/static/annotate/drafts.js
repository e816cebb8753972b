import { storage } from "../shared/storage.js";
import { Unsent } from "./unsent.js";

const DRAFT_MS = 250;
const AGAIN_MS = 4000;
const MOST_KEPT = 60_000; // characters; a browser lets go of a longer request together with its page
const PAGE = Math.random().toString(36).slice(2);

/**
 * @typedef {import("./unsent.js").Question} Question
 */

/**
 * Keeps unfinished work on the server: soon after each edit, and at once when the page is left or out of sight. What the
 * server cannot keep, this browser keeps until it can.
 */
export class Drafts {
  unsent = new Unsent(storage);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer = undefined;
  #pending = false;
  #edit = 0;
  /** @type {Promise<void>} */
  #sending = Promise.resolve();

  /**
   * @param {string} view which component of the page may keep drafts
   * @param {() => Question | null} compose what to keep, or nothing
   * @param {(question: Question) => Promise<boolean>} put whether the server keeps it now
   */
  constructor(view, compose, put) {
    this.view = view;
    this.compose = compose;
    this.put = put;
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.#leave());
    window.addEventListener("pagehide", () => this.#leave());
  }

  soon(delay = DRAFT_MS) {
    clearTimeout(this.#timer);
    this.#pending = true;
    this.#timer = setTimeout(() => this.now(), delay);
  }

  /** Keep no draft of what was done until now. */
  cancel() {
    clearTimeout(this.#timer);
    this.#pending = false;
  }

  /** The same, and wait for one that is on its way: it must not arrive after a save. */
  async settle() {
    this.cancel();
    await this.#sending;
  }

  async now() {
    this.cancel();
    const question = this.#question();
    if (question) await (this.#sending = this.#put(question));
  }

  /** @param {Question} question */
  async #put(question) {
    if (await this.put(question)) return this.unsent.forget(question);
    this.unsent.keep(question);
    if (!this.#pending) this.soon(AGAIN_MS);
  }

  /** Numbered, so that the server keeps the latest whichever arrives first. */
  #question() {
    const question = this.compose();
    const numbers = { page: PAGE, edit: ++this.#edit, at: Date.now() };
    return question && { ...question, content: { ...question.content, ...numbers } };
  }

  /** What gradio's own call sends, but as a request that outlives the page. */
  #leave() {
    const question = this.#pending && this.#question();
    this.cancel();
    const component = /** @type {any} */ (window).gradio_config?.components
      .find((/** @type {any} */ each) => each.props?.elem_id === this.view);
    if (!question || !component) return;
    // Whether it arrives nobody will be there to see.
    this.unsent.keep(question);
    const body = JSON.stringify({ data: question, fn_name: "put_draft", component_id: component.id, session_hash: PAGE });
    fetch(new URL("gradio_api/component_server/", document.baseURI), { method: "POST", body,
      headers: { "Content-Type": "application/json" }, keepalive: body.length < MOST_KEPT }).catch(console.warn);
  }
}
