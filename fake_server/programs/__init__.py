"""Programs of any language, run unchanged against a fake."""
