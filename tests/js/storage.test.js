import assert from "node:assert/strict";
import { test } from "node:test";

import { storageOr } from "../../segr1_app/ui/static/shared/storage.js";

test("blocked storage is replaced by the memory of the page", () => {
  const storage = storageOr(() => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  });
  assert.equal(storage.getItem("name"), null);
  storage.setItem("name", "Ada");
  assert.equal(storage.getItem("name"), "Ada");
  storage.removeItem("name");
  assert.equal(storage.getItem("name"), null);
});

test("storage that takes nothing, as a full one, is replaced, too", () => {
  const full = { getItem: () => null, removeItem: () => {}, setItem: () => {
    throw new DOMException("full", "QuotaExceededError");
  } };
  const storage = storageOr(() => full);
  storage.setItem("name", "Ada");
  assert.equal(storage.getItem("name"), "Ada");
});

test("storage that works is used", () => {
  const items = new Map();
  const working = { getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void items.set(key, value),
    removeItem: (/** @type {string} */ key) => void items.delete(key) };
  assert.equal(storageOr(() => working), working);
  assert.equal(items.size, 0);
});
