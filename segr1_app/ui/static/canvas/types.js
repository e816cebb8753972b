/**
 * The values the canvas works with. Coordinates are pixels of the original picture everywhere, x before y, the pixel at
 * column i reaching from i to i + 1; `Size` is width before height.
 *
 * @typedef {[number, number]} Size
 * @typedef {[number, number]} Place x and y
 * @typedef {[number, number, number, number]} Box left, top, right and bottom edge, left < right and top < bottom
 * @typedef {{x: number, y: number, label: 0 | 1}} Point label 1 is inside, 0 outside
 * @typedef {import("../shared/contracts.js").StrokeValue} Stroke
 * @typedef {{size: [number, number], counts: string}} Rle COCO's compressed run lengths; size is height before width
 *
 * One object: its prompts, the strokes painted on top of their mask, the mask that the prompts refine, if any, what an
 * earlier revision had painted and erased, beneath the strokes, and whether small parts and holes are cleaned from the
 * mask that all these make. The id stays with the object through every edit; a value with the same id is a later or
 * earlier state of the same object.
 * @typedef {{id: number, name: string, box: Box | null, points: Point[], strokes: Stroke[], start: Rle | null,
 *   painted: Rle | null, erased: Rle | null, clean: boolean}} Prompt
 *
 * An object as it comes from elsewhere: what it leaves out it does not have; its mask only if that is known.
 * @typedef {{box: Box | null, points: Point[], name?: string, strokes?: Stroke[], start?: Rle | null,
 *   painted?: Rle | null, erased?: Rle | null, clean?: boolean, mask?: Rle | null}} GivenObject
 *
 * What Delete, F and the arrows act on, within the active object.
 * @typedef {{kind: "box"} | {kind: "point", index: number}} Mark
 *
 * Everything that undo restores. `active` is an index into objects, of which there is always one.
 * @typedef {{objects: Prompt[], active: number, mark: Mark | null}} Prompts
 *
 * A part of a mark that the pointer can grab; `edges` are the indices into Box that move.
 * @typedef {{object: number, mark: {kind: "point", index: number}} | {object: number, mark: {kind: "box"}, edges: number[]}} Grip
 *
 * Where the picture lies on the screen: screen = picture * scale + (x, y), in CSS pixels of the canvas.
 * @typedef {{scale: number, x: number, y: number}} View
 */

export {};
