"""Preloads: what is loaded into programs of others. Each file uses the standard library alone, of Python 3.8 or later."""
