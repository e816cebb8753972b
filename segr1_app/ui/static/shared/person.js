/**
 * Who looks at the page, as the header learns it from the server.
 * @typedef {{name: string, role: string, may: string[], sign_in: "none" | "password" | "hub"}} Person see header_value
 * in views.py; the name is empty for whoever did not sign in
 */

/** @type {Person | null} */
let present = null;
/** @type {((person: Person) => void)[]} */
const waiting = [];

/** @param {Person} person */
export function meet(person) {
  present = person;
  for (const call of waiting.splice(0)) call(person);
}

/**
 * Call back as soon as it is known who looks at the page.
 * @param {(person: Person) => void} call
 */
export function whenMet(call) {
  if (present) call(present);
  else waiting.push(call);
}

/**
 * A field in which people say who they are: it is filled in for whoever signed in.
 * @param {HTMLInputElement} input
 * @param {Person} person
 */
export function nameIn(input, person) {
  if (!person.name) return;
  input.value = person.name;
  input.readOnly = true;
}

/**
 * What to tell somebody who may look, but not do what a tab is for.
 * @param {string} what
 * @param {Person} person
 */
export function refusal(what, person) {
  const remedy = person.name || person.sign_in === "none" ? "ask whoever runs this page for that role" : "sign in";
  return `You may look around here. To ${what}, ${remedy}.`;
}
