import { h, svg } from "./dom.js";
import { maskAt } from "./rle.js";

const LONGEST_SIDE = 1600; // of the mask canvas: about as fine as a screen shows it, and quick to fill
const TINT = 0.42;

/**
 * The picture with its layers. props.value is
 * {picture: {url}, title, image_size: [w, h], casing, objects: [{colour, box, points, mask}]} or null; see views.py.
 */
export function mount({ element, props, watch }) {
  const image = h("img", { class: "stage-picture", alt: "", draggable: "false" });
  const canvas = h("canvas", { class: "stage-masks", "aria-hidden": "true" });
  const marks = svg("svg", { class: "stage-marks", "aria-hidden": "true" });
  const frame = h("div", { class: "stage-frame" }, image, canvas, marks);
  const empty = h("p", { class: "stage-empty" }, "Choose a picture, say what to find, press Run.");
  const toggles = h("div", { class: "stage-toggles", role: "group", "aria-label": "Layers" });
  for (const [label, layer] of [["Masks", canvas], ["Prompts", marks]]) toggles.append(toggle(label, layer));
  element.replaceChildren(h("div", { class: "stage-mat" }, frame, empty), toggles);

  const render = () => {
    const shown = props.value || null; // gradio turns None into an empty string
    frame.hidden = !shown;
    empty.hidden = Boolean(shown);
    toggles.classList.toggle("is-idle", !shown?.objects.length);
    if (!shown) return;
    const [width, height] = shown.image_size;
    frame.style.setProperty("--aspect", String(width / height));
    if (image.getAttribute("src") !== shown.picture.url) image.setAttribute("src", shown.picture.url);
    image.alt = describe(shown);
    drawMasks(canvas, shown);
    marks.replaceChildren(...shown.objects.flatMap((object) => markObject(object, shown)));
  };
  watch("value", render);
  render();
}

function toggle(label, layer) {
  const button = h("button", { type: "button", class: "quiet-button", "aria-pressed": "true" }, label);
  button.addEventListener("click", () => {
    const hidden = layer.classList.toggle("is-hidden");
    button.setAttribute("aria-pressed", String(!hidden));
  });
  return button;
}

function describe({ objects, title }) {
  if (!objects.length) return title;
  const points = objects.flatMap((object) => object.points);
  const positive = points.filter((point) => point.label === 1).length;
  const masks = objects.filter((object) => object.mask).length;
  return (
    `${title}, with ${objects.length} ${objects.length === 1 ? "object" : "objects"}: ` +
    `${masks} masks, ${positive} positive and ${points.length - positive} negative points.`
  );
}

function drawMasks(canvas, { image_size: [width, height], objects, casing }) {
  const scale = LONGEST_SIDE / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  const line = LONGEST_SIDE / 420;
  for (const object of objects) {
    if (!object.mask) continue;
    const shape = silhouette(object.mask, canvas.width, canvas.height);
    // A dark edge outside a coloured one: seen on grey, on bright and on dark pictures alike.
    context.drawImage(ring(shape, casing, 2 * line), 0, 0);
    context.drawImage(ring(shape, object.colour, line), 0, 0);
    context.globalAlpha = TINT;
    context.drawImage(tinted(shape, object.colour), 0, 0);
    context.globalAlpha = 1;
  }
}

/** The mask as an opaque shape of the canvas's size; a mask smaller than that is enlarged smoothly. */
function silhouette(rle, width, height) {
  const [fullHeight, fullWidth] = rle.size;
  const sampled = sheet(Math.min(width, fullWidth), Math.min(height, fullHeight));
  const pixels = sampled.getContext("2d").createImageData(sampled.width, sampled.height);
  maskAt(rle, sampled.width, sampled.height).forEach((inside, index) => (pixels.data[4 * index + 3] = 255 * inside));
  sampled.getContext("2d").putImageData(pixels, 0, 0);
  const shape = sheet(width, height);
  shape.getContext("2d").drawImage(sampled, 0, 0, width, height);
  return shape;
}

function tinted(shape, colour) {
  const layer = sheet(shape.width, shape.height);
  const context = layer.getContext("2d");
  context.drawImage(shape, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, layer.width, layer.height);
  return layer;
}

/** The band of `reach` pixels around the shape: the shape shifted all round, less the shape itself. */
function ring(shape, colour, reach) {
  const spread = sheet(shape.width, shape.height);
  const context = spread.getContext("2d");
  for (let turn = 0; turn < 16; turn++)
    context.drawImage(shape, reach * Math.cos((turn * Math.PI) / 8), reach * Math.sin((turn * Math.PI) / 8));
  context.globalCompositeOperation = "destination-out";
  context.drawImage(shape, 0, 0);
  return tinted(spread, colour);
}

function sheet(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** Box and points. Places are in percent of the picture, sizes in screen pixels: they stay readable at any zoom. */
function markObject({ colour, box, points }, { image_size: [width, height], casing }) {
  const x = (value) => `${(100 * value) / width}%`;
  const y = (value) => `${(100 * value) / height}%`;
  const marks = [];
  if (box) {
    const [x1, y1, x2, y2] = box;
    const place = { x: x(x1), y: y(y1), width: x(x2 - x1), height: y(y2 - y1), fill: "none", rx: 3 };
    marks.push(svg("rect", { ...place, stroke: casing, "stroke-width": 5, "stroke-opacity": 0.75 }));
    marks.push(svg("rect", { ...place, stroke: colour, "stroke-width": 2.5, "data-mark": "box" }));
  }
  for (const point of points) {
    const kind = point.label === 1 ? "positive" : "negative";
    marks.push(
      svg(
        "svg",
        { x: x(point.x), y: y(point.y), overflow: "visible", "data-mark": kind },
        svg("circle", { r: 10.5, fill: casing, "fill-opacity": 0.75 }),
        svg("circle", { r: 9, fill: point.label === 1 ? "#ffffff" : colour }),
        svg("circle", { r: 7, fill: point.label === 1 ? colour : casing }),
        svg("path", {
          d: point.label === 1 ? "M-4 0H4M0-4V4" : "M-4 0H4",
          stroke: "#ffffff",
          "stroke-width": 2,
          "stroke-linecap": "round",
        }),
      ),
    );
  }
  return marks;
}
