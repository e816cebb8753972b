import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, actionOf } from "../../segr1_app/ui/static/canvas/keys.js";

const press = (/** @type {string} */ text) => {
  const parts = text.split("+");
  const key = text.endsWith("+") ? "+" : /** @type {string} */ (parts.pop());
  const has = (/** @type {string} */ name) => parts.includes(name);
  return { key, ctrlKey: has("Ctrl"), metaKey: has("Meta"), shiftKey: has("Shift"), altKey: has("Alt") };
};

test("every press belongs to one action", () => {
  const presses = KEYS.flatMap(({ on = [] }) => on);
  assert.equal(new Set(presses).size, presses.length);
  for (const { on = [], action } of KEYS) for (const text of on) assert.equal(actionOf(press(text)), action);
});

test("capitals, Command and signs that need Shift mean the same", () => {
  assert.equal(actionOf(press("F")), "flip");
  assert.equal(actionOf(press("Meta+Shift+Z")), "redo");
  assert.equal(actionOf(press("Shift+?")), "help");
  assert.equal(actionOf(press("Shift+ArrowUp")), "farUp");
});

test("the browser keeps its own", () => {
  for (const text of ["Alt+f", "Ctrl+f", "Ctrl+r", "Ctrl+n", "x", "F5"]) assert.equal(actionOf(press(text)), undefined);
});

test("letters count by their place where the keyboard writes another alphabet", () => {
  const bare = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  assert.equal(actionOf({ ...bare, key: "ф", code: "KeyA" }), actionOf({ ...bare, key: "a", code: "KeyA" }));
  assert.equal(actionOf({ ...bare, key: "и", code: "KeyB" }), "brush");
  assert.equal(actionOf({ ...bare, key: "β", code: "KeyB" }), "brush");
  assert.equal(actionOf({ ...bare, key: "ע", code: "KeyG" }), "fitObject");
  assert.equal(actionOf({ ...bare, key: "ן", code: "KeyI" }), undefined);
  assert.equal(actionOf({ ...bare, key: "я", code: "KeyZ", ctrlKey: true }), "undo");
  assert.equal(actionOf({ ...bare, key: "Я", code: "KeyZ", ctrlKey: true, shiftKey: true }), "redo");
});

test("on a Latin keyboard the letter counts and not its place", () => {
  const bare = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  assert.equal(actionOf({ ...bare, key: "b", code: "KeyN" }), "brush");
  assert.equal(actionOf({ ...bare, key: "z", code: "KeyY", ctrlKey: true }), "undo");
  assert.equal(actionOf({ ...bare, key: "é", code: "KeyB" }), undefined);
});
