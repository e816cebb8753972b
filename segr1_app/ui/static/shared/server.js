import { answer } from "../canvas/live.js";
import { h } from "./dom.js";

/** Asks the server, and tells in a notice what it refuses or that it does not answer. */
export class Asking {
  notice = h("div", { class: "notice", role: "alert" });

  /**
   * @param {import("./dom.js").Host["server"]} server
   * @param {string} gone what to tell when nobody answers
   */
  constructor(server, gone) {
    this.server = server;
    this.gone = gone;
    this.tell("");
  }

  /**
   * Ask; a failure is told, and nothing comes back.
   * @param {string} what
   * @param {object} question
   * @param {{quiet?: boolean}} [how] quiet: nobody asked for it just now, and what was refused before stays to be read
   * @returns {Promise<any>}
   */
  async ask(what, question, { quiet = false } = {}) {
    const reply = await answer(() => this.server[what](question));
    const failure = reply ? (reply.failure ?? "") : this.gone;
    if (failure || !quiet || this.notice.textContent === this.gone) this.tell(failure);
    return reply && !reply.failure ? reply : null;
  }

  /** @param {string} text nothing hides the notice */
  tell(text) {
    this.notice.hidden = !text;
    this.notice.textContent = text;
  }
}
