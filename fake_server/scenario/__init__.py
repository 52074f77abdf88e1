"""Behaviour as data: how generations go, and which faults happen when."""
