/** @typedef {import("./contracts.js").Visitor} Person as the header learns it from the server */

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
 * Call back as soon as the visitor is known.
 * @param {(person: Person) => void} call
 */
export function whenMet(call) {
  if (present) call(present);
  else waiting.push(call);
}

/**
 * A field for the visitor's name: it is filled in for people who signed in.
 * @param {HTMLInputElement} input
 * @param {Person} person
 */
export function nameIn(input, person) {
  if (!person.name) return;
  input.value = person.name;
  input.readOnly = true;
}

/**
 * What to show somebody who may view, but not do what a tab is for.
 * @param {string} what
 * @param {Person} person
 */
export function refusal(what, person) {
  const remedy = person.name || person.sign_in === "none" ? "ask the operator of this page for that role" : "sign in";
  return `You may look around here. To ${what}, ${remedy}.`;
}
