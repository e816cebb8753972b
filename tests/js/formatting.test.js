import assert from "node:assert/strict";
import { test } from "node:test";

import { gigabytes, progressText } from "../../segr1_app/ui/static/shared/formatting.js";

test("a size is told in gigabytes, a small one more exactly", () => {
  assert.equal(gigabytes(8_449_000_000), "8.4 GB");
  assert.equal(gigabytes(2_000_000), "0.002 GB");
});

test("a download tells what is here and, once it can be guessed, how long the rest will take", () => {
  assert.equal(progressText({ done: 0, total: 0, seconds: 0 }), "Asking how much there is to download…");
  assert.equal(progressText({ done: 0, total: 8e9, seconds: 9 }), "0.000 GB of 8.0 GB are here");
  assert.equal(progressText({ done: 2e9, total: 8e9, seconds: 60 }), "2.0 GB of 8.0 GB are here; 3 minutes to go");
  assert.equal(progressText({ done: 7.9e9, total: 8e9, seconds: 60 }), "7.9 GB of 8.0 GB are here; 1 minute to go");
});
