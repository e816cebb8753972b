import { Asking } from "../shared/server.js";
import { button } from "../shared/controls.js";
import { h } from "../shared/dom.js";
import { gigabytes, progressText } from "../shared/formatting.js";

/**
 * @typedef {import("../shared/contracts.js").DownloadProgress} Progress
 */

const POLL_MS = 1500;

/** Offers the download of the full models: first its size, then the download itself, then its progress. */
export class Offer {
  /**
   * @param {import("../shared/dom.js").Host["server"]} server
   * @param {() => void} arrived called when the models are downloaded
   */
  constructor(server, arrived) {
    this.arrived = arrived;
    this.asking = new Asking(server, "The server did not answer. A running download continues; try again.");
    this.ask = button("Download the full models…", "download-size", () => void this.tellSize());
    this.begin = button("", "download", () => void this.follow("download_models"), { primary: true });
    this.text = h("span", { role: "status" });
    this.element = h("div", { class: "header-download" }, this.ask, this.begin, this.text, this.asking.notice);
    this.begin.hidden = true;
    this.following = false;
  }

  async tellSize() {
    this.ask.disabled = true;
    const size = await this.asking.ask("download_size", {});
    this.ask.disabled = false;
    if (!size) return;
    this.begin.textContent = `Download ${gigabytes(size.bytes)} and use them`;
    this.ask.hidden = true;
    this.begin.hidden = false;
  }

  /**
   * Show the progress of the download until it ends.
   * @param {"download_models" | "download_state"} first what to ask first: to start, or only for its progress
   */
  async follow(first) {
    if (this.following) return;
    this.following = true;
    /** @type {Progress | null} */
    let progress = await this.asking.ask(first, {});
    while (progress?.state === "running") {
      this.ask.hidden = this.begin.hidden = true;
      this.text.textContent = progressText(progress);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      progress = await this.asking.ask("download_state", {});
    }
    this.following = false;
    this.text.textContent = progress?.state === "done" ? "The full models are downloaded." : "";
    if (progress?.state === "done") this.arrived();
    if (progress?.state === "failed") {
      this.asking.tell(progress.trouble);
      this.begin.textContent = "Resume the download";
      this.begin.hidden = false;
    }
  }
}
