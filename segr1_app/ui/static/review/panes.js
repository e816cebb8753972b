import { drawShape, fillShape, onScreen, pathOf } from "../canvas/shapes.js";
import { marksOf } from "../canvas/marks.js";
import { promptsOf } from "../canvas/prompts.js";
import * as viewport from "../canvas/viewport.js";
import { h, svg } from "../shared/dom.js";
import { maskAt } from "../shared/rle.js";
import { counted } from "../shared/formatting.js";
import { parts } from "./overlay.js";

/**
 * @typedef {import("../canvas/types.js").Place} Place
 * @typedef {import("../canvas/types.js").Size} Size
 * @typedef {import("../canvas/view.js").Value} Value
 * @typedef {import("../shared/contracts.js").ComparedSide} Side
 * @typedef {{path: Path2D, colour: string, opacity: number}} Shape
 */

/** The colours of only the first, only the second and both; the first two differ also for colour-blind people. */
export const COLOURS = { first: "#2f7df6", second: "#f2700d", both: "#ffffff" };
const STEP = 1.25;
const ARROWS = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };

/** Three views of one picture that move together: two masks side by side, and their difference. */
export class Panes {
  /** @type {Value | null} */
  value = null;
  view = { scale: 1, x: 0, y: 0 };
  fitted = true;
  marks = true;
  drawn = 0;

  constructor() {
    this.first = new Pane("first", this);
    this.second = new Pane("second", this);
    this.difference = new Pane("difference", this);
    this.all = [this.first, this.second, this.difference];
    new ResizeObserver(() => this.resized()).observe(this.first.frame);
  }

  /** @param {Value} value the picture */
  open(value) {
    this.value = value;
    this.fitted = true;
    for (const pane of this.all) pane.open(value);
    this.resized();
  }

  /**
   * @param {Side} first
   * @param {Side} second
   */
  compare(first, second) {
    const size = /** @type {Value} */ (this.value).live_size;
    const masks = [first, second].map(({ mask }) => (mask ? maskAt(mask, ...size) : new Uint8Array(size[0] * size[1])));
    const apart = parts(masks[0], masks[1]);
    this.first.put([{ path: pathOf(masks[0], size), colour: COLOURS.first, opacity: 0.35 }], first.objects);
    this.second.put([{ path: pathOf(masks[1], size), colour: COLOURS.second, opacity: 0.35 }], second.objects);
    this.difference.put(
      [
        { path: pathOf(apart.both, size), colour: COLOURS.both, opacity: 0.45 },
        { path: pathOf(apart.first, size), colour: COLOURS.first, opacity: 0.9 },
        { path: pathOf(apart.second, size), colour: COLOURS.second, opacity: 0.9 },
      ],
      [],
    );
    this.draw();
  }

  /** @returns {Size} */
  get area() {
    return [this.first.frame.clientWidth, this.first.frame.clientHeight];
  }

  /**
   * @param {number} factor
   * @param {Place} [at] on a pane; its middle when left out
   */
  zoom(factor, at = [this.area[0] / 2, this.area[1] / 2]) {
    if (this.value) this.look(viewport.zoom(this.view, factor, at, this.value.image_size, this.area));
  }

  /** @param {Place} by */
  pan(by) {
    if (this.value) this.look(viewport.pan(this.view, by, this.value.image_size, this.area));
  }

  fit() {
    this.fitted = true;
    this.resized();
  }

  /** @param {import("../canvas/types.js").View} view */
  look(view) {
    this.view = view;
    this.fitted = false;
    this.draw();
  }

  resized() {
    const [width, height] = this.area;
    if (!this.value || !width || !height) return;
    if (this.fitted) this.view = viewport.fit(this.value.image_size, this.area);
    this.draw();
  }

  draw() {
    if (!this.drawn) this.drawn = requestAnimationFrame(() => this.render());
  }

  render() {
    this.drawn = 0;
    const { value } = this;
    if (value) for (const pane of this.all) pane.render(value, this);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") this.zoom(STEP);
    else if (event.key === "-") this.zoom(1 / STEP);
    else if (event.key === "0") this.fit();
    // A whole picture cannot be panned; then the arrows scroll the page.
    else if (arrow && !this.fitted) this.pan(/** @type {Place} */ (arrow));
    else return;
    event.preventDefault();
  }
}

class Pane {
  /** @type {Shape[]} */
  shapes = [];
  /** @type {Side["objects"]} */
  objects = [];

  /**
   * @param {keyof typeof COLOURS | "difference"} kind
   * @param {Panes} panes
   */
  constructor(kind, panes) {
    this.kind = kind;
    this.image = h("img", { class: "stage-picture", alt: "", draggable: "false" });
    this.sheet = h("canvas", { class: "stage-masks", "aria-hidden": "true" });
    this.marks = svg("svg", { class: "stage-marks", "aria-hidden": "true" });
    this.frame = h("div", { class: "pane-frame", tabindex: "0", role: "group" }, this.image, this.sheet, this.marks);
    this.title = h("figcaption", { class: "pane-title" });
    this.foot = h("div", { class: "pane-foot" });
    this.element = h("figure", { class: `pane is-${kind}` }, this.title, this.frame, this.foot);
    this.frame.addEventListener("keydown", (event) => panes.pressed(event));
    this.frame.addEventListener("wheel", (event) => this.#wheel(event, panes), { passive: false });
    this.#drag(panes);
  }

  /** @param {Value} value */
  open({ picture, image_size: [width, height], title }) {
    this.put([], []);
    if (this.image.getAttribute("src") !== picture.url) this.image.setAttribute("src", picture.url);
    Object.assign(this.image.style, { width: `${width}px`, height: `${height}px` });
    this.image.alt = title;
  }

  /**
   * @param {Shape[]} shapes
   * @param {Side["objects"]} objects
   */
  put(shapes, objects) {
    this.shapes = shapes;
    this.objects = objects;
  }

  /**
   * What the pane shows, for the eye and for a screen reader.
   * @param {...(Node | string)} title
   */
  name(...title) {
    this.title.replaceChildren(...title);
    const keys = "Plus and minus zoom all three pictures, 0 fits them.";
    this.frame.setAttribute("aria-label", `${this.title.textContent}. ${keys}`);
  }

  /**
   * @param {Value} value
   * @param {Panes} panes
   */
  render(value, { view, fitted, marks }) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const pixels = { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) };
    // Setting a size clears the sheet, even when the size stays the same.
    if (this.sheet.width !== pixels.width || this.sheet.height !== pixels.height) Object.assign(this.sheet, pixels);
    const context = /** @type {CanvasRenderingContext2D} */ (this.sheet.getContext("2d"));
    context.clearRect(0, 0, pixels.width, pixels.height);
    const place = onScreen(view, value.image_size, value.live_size);
    for (const { path, colour, opacity } of this.shapes) {
      // A mask has an outline; a difference is often thinner than one.
      if (this.kind === "difference") fillShape(context, path, place, colour, opacity);
      else drawShape(context, path, place, colour, value.casing, opacity);
    }
    this.image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    this.image.classList.toggle("is-pixelated", view.scale >= 4);
    this.frame.classList.toggle("is-fitted", fitted);
    const colour = this.kind === "difference" ? "" : COLOURS[this.kind];
    const shown = marks ? this.objects : [];
    // Nothing is selected here: no object is the active one.
    this.marks.replaceChildren(...marksOf({ ...promptsOf(shown), active: -1 }, view, () => colour, value.casing));
  }

  /**
   * The wheel alone scrolls the page: three pictures fill most of it.
   * @param {WheelEvent} event
   * @param {Panes} panes
   */
  #wheel(event, panes) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.frame.getBoundingClientRect();
    panes.zoom(event.deltaY < 0 ? STEP : 1 / STEP, [event.clientX - box.left, event.clientY - box.top]);
  }

  /** @param {Panes} panes */
  #drag(panes) {
    const { frame } = this;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button || panes.fitted) return;
      frame.setPointerCapture(event.pointerId);
      frame.classList.add("is-panning");
    });
    frame.addEventListener("pointermove", (event) => {
      if (frame.hasPointerCapture(event.pointerId)) panes.pan([event.movementX, event.movementY]);
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"]))
      frame.addEventListener(end, () => frame.classList.remove("is-panning"));
  }
}

/**
 * A mask's prompts in words.
 * @param {Side} side
 */
export function describeAnswer({ mask, objects }) {
  if (!objects.length) return mask ? "No prompts" : "No mask";
  const points = objects.flatMap((object) => object.points);
  const positive = points.filter((point) => point.label === 1).length;
  return [
    counted(objects.length, "object"),
    counted(objects.filter(({ box }) => box).length, "box", "boxes"),
    `${positive} +`,
    `${points.length - positive} −`,
  ].join(" · ");
}
