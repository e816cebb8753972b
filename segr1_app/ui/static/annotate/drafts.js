import { storage } from "../shared/storage.js";
import { Unsent } from "./unsent.js";

const DRAFT_MS = 250;
const AGAIN_MS = 4000;
const MOST_KEPT = 60_000; // characters; a browser cancels a longer request when its page is closed
const PAGE = Math.random().toString(36).slice(2);

/**
 * @typedef {import("./unsent.js").Question} Question
 */

/**
 * Stores unfinished work on the server: soon after each edit, and at once when the page is left or hidden. What the
 * server cannot store, this browser keeps until it can.
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
   * @param {string} view which component of the page may store drafts
   * @param {() => Question | null} compose what to store, or nothing
   * @param {(question: Question) => Promise<boolean>} put whether the server stored it
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

  /** Store no draft of the edits until now. */
  cancel() {
    clearTimeout(this.#timer);
    this.#pending = false;
  }

  /** The same, and wait for one that is under way: it must not arrive after a save. */
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

  /** The same call as gradio's own, as a request that survives the page being closed. */
  #leave() {
    const question = this.#pending && this.#question();
    this.cancel();
    const component = /** @type {any} */ (window).gradio_config?.components
      .find((/** @type {any} */ each) => each.props?.elem_id === this.view);
    if (!question || !component) return;
    // Nobody will be there to see whether it arrives.
    this.unsent.keep(question);
    const body = JSON.stringify({ data: question, fn_name: "put_draft", component_id: component.id, session_hash: PAGE });
    fetch(new URL("gradio_api/component_server/", document.baseURI), { method: "POST", body,
      headers: { "Content-Type": "application/json" }, keepalive: body.length < MOST_KEPT }).catch(console.warn);
  }
}
