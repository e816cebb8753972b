"""Other tools' formats, into the store and out of it."""
