/**
 * @typedef {import("../shared/contracts.js").DecodedCanvas} Reply
 * @typedef {import("../shared/contracts.js").LiveReward} Reward
 */

const SIGNED_OUT = "You are signed out: sign in again in another tab of this page, then go on here. Your work is kept.";

/**
 * The server's answer, or undefined without one: gradio returns the body of an error like any other.
 * @template {{failure?: string} | {}} Answer
 * @param {() => Promise<Answer>} ask
 * @returns {Promise<Answer | undefined>}
 */
export async function answer(ask) {
  try {
    const reply = await ask();
    if (reply && "detail" in reply && reply.detail === "Not authenticated") return /** @type {any} */ ({ failure: SIGNED_OUT });
    return reply && Object.keys(reply).length && !("error" in reply) && !("detail" in reply) ? reply : undefined;
  } catch (error) {
    console.warn(error);
    return undefined;
  }
}

/**
 * Asks the server about every edit, one request at a time: while one is under way only the newest waits, and since
 * each request carries the whole state, nothing is lost with those it replaces.
 */
export class Live {
  #rev = 0;
  #floor = 0;
  #busy = false;
  /** @type {(() => Promise<void>) | null} */
  #next = null;

  /**
   * @param {(question: object) => Promise<Reply>} ask
   * @param {(state: any, reply: Reply) => void} show gets the state that was sent
   */
  constructor(ask, show) {
    this.ask = ask;
    this.show = show;
  }

  /** The number of the newest request. */
  get rev() {
    return this.#rev;
  }

  /**
   * Ask about a state.
   * @param {any} state
   * @param {object} question what goes to the server
   * @param {boolean} passing whether the state is transient, as while dragging: then answers to earlier ones are
   *   shown as they come; otherwise they are dropped
   */
  send(state, question, passing) {
    const rev = ++this.#rev;
    if (!passing) this.#floor = rev;
    this.#next = async () => {
      const reply = (await answer(() => this.ask({ ...question, rev }))) ?? {
        rev, failure: "The server did not answer: your edits are still here, and are sent with the next one.",
      };
      if (reply.rev >= this.#floor) this.show(state, reply);
    };
    this.#pump();
  }

  /** Drop every answer that is still to come. */
  forget() {
    this.#floor = ++this.#rev;
    this.#next = null;
  }

  async #pump() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const turn = this.#next;
      this.#next = null;
      await turn();
    }
    this.#busy = false;
  }
}
