import assert from "node:assert/strict";
import { test } from "node:test";

import { gigabytes, progressText } from "../../segr1_app/ui/static/shared/formatting.js";

test("a size is written in gigabytes, a small one with more digits", () => {
  assert.equal(gigabytes(8_449_000_000), "8.4 GB");
  assert.equal(gigabytes(2_000_000), "0.002 GB");
});

test("a download shows its progress and, once it can be estimated, its remaining time", () => {
  assert.equal(progressText({ done: 0, total: 0, seconds: 0 }), "Checking the size of the download…");
  assert.equal(progressText({ done: 0, total: 8e9, seconds: 9 }), "0.000 GB of 8.0 GB downloaded");
  assert.equal(progressText({ done: 2e9, total: 8e9, seconds: 60 }), "2.0 GB of 8.0 GB downloaded; 3 minutes to go");
  assert.equal(progressText({ done: 7.9e9, total: 8e9, seconds: 60 }), "7.9 GB of 8.0 GB downloaded; 1 minute to go");
});
