"""The commands of `kling-contract`, one module each."""
