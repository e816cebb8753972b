import assert from "node:assert/strict";
import { test } from "node:test";

import { parts, shares } from "../../segr1_app/ui/static/review/overlay.js";

test("two masks come apart into what each has alone and what both have", () => {
  const apart = parts(Uint8Array.of(1, 1, 0, 0), Uint8Array.of(1, 0, 1, 0));
  assert.deepEqual([...apart.first], [0, 1, 0, 0]);
  assert.deepEqual([...apart.second], [0, 0, 1, 0]);
  assert.deepEqual([...apart.both], [1, 0, 0, 0]);
});

test("the shares are of all that either has, and of nothing there are none", () => {
  assert.deepEqual(shares({ only_first: 1, only_second: 0, both: 3 }), { first: 0.25, second: 0, both: 0.75 });
  assert.equal(shares({ only_first: 0, only_second: 0, both: 0 }), null);
});
