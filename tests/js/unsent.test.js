import assert from "node:assert/strict";
import { test } from "node:test";

import { Unsent } from "../../segr1_app/ui/static/annotate/unsent.js";

class Shelf extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, text) => this.set(key, text);
  removeItem = (key) => this.delete(key);
}
const ADA = { annotator: "Ada", task: 7 };

test("the later draft counts, wherever it is kept", () => {
  const unsent = new Unsent(new Shelf());
  unsent.keep({ ...ADA, content: { at: 20, parent: null, comment: "here" } });
  const there = (at) => ({ ...ADA, parent: null, draft: { at, comment: "there" } });
  assert.equal(unsent.latest({ ...ADA, parent: null, draft: null }).comment, "here");
  assert.equal(unsent.latest(there(10)).comment, "here");
  assert.equal(unsent.latest(there(30)).comment, "there");
  assert.equal(unsent.latest(there(10)).comment, "there", "an old one is let go");
});

test("what was saved over is gone, and nobody gets another one's", () => {
  const unsent = new Unsent(new Shelf());
  unsent.keep({ ...ADA, content: { at: 20, parent: 3 } });
  assert.equal(unsent.latest({ annotator: "Bea", task: 7, parent: 3, draft: null }), null);
  assert.equal(unsent.latest({ annotator: "Ada", task: 8, parent: 3, draft: null }), null);
  assert.equal(unsent.latest({ ...ADA, parent: 4, draft: null }), null);
  assert.equal(unsent.storage.size, 0);
});

test("a browser without room keeps the page working", () => {
  const full = { getItem: () => null, removeItem: () => {}, setItem: () => { throw new Error("quota"); } };
  new Unsent(full).keep({ ...ADA, content: {} });
});
