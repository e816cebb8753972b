import { answer } from "../canvas/live.js";
import { h } from "./dom.js";

/** Calls the server, and shows a notice when it refuses or does not answer. */
export class Asking {
  notice = h("div", { class: "notice", role: "alert" });

  /**
   * @param {import("./dom.js").Host["server"]} server
   * @param {string} gone the message when the server does not answer
   */
  constructor(server, gone) {
    this.server = server;
    this.gone = gone;
    this.tell("");
  }

  /**
   * Call a function; a failure is shown, and undefined returned.
   * @param {string} what
   * @param {object} question
   * @param {{quiet?: boolean}} [how] quiet: a background call, whose success does not hide an earlier notice
   * @returns {Promise<any>}
   */
  async ask(what, question, { quiet = false } = {}) {
    const reply = await answer(() => this.server[what](question));
    const failure = reply ? (reply.failure ?? "") : this.gone;
    if (failure || !quiet || this.notice.textContent === this.gone) this.tell(failure);
    return reply && !reply.failure ? reply : null;
  }

  /** @param {string} text the notice; an empty one hides it */
  tell(text) {
    this.notice.hidden = !text;
    this.notice.textContent = text;
  }
}
