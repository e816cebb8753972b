/**
 * What a view's `mount` gets: gradio's element, the component's props, and the ways to speak with Python.
 * @typedef {object} Host
 * @property {HTMLElement} element the view's own, empty element
 * @property {Record<string, any>} props "value" is the view's value, as views.py made it
 * @property {(event: string, data?: object) => void} trigger fires an event of the component
 * @property {(prop: string, changed: () => void) => void} watch calls back whenever Python has set a prop
 * @property {Record<string, (argument: any) => Promise<any>>} server the component's functions in Python
 */

/**
 * Make an element. Text arrives as text nodes and never as markup, so that model output cannot become HTML.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Make an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
