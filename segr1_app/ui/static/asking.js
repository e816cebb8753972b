import { answer } from "./canvas/live.js";
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
   * @returns {Promise<any>}
   */
  async ask(what, question) {
    const reply = await answer(() => this.server[what](question));
    this.tell(reply ? (reply.failure ?? "") : this.gone);
    return reply && !reply.failure ? reply : null;
  }

  /** @param {string} text nothing hides the notice */
  tell(text) {
    this.notice.hidden = !text;
    this.notice.textContent = text;
  }
}
