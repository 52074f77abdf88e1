"""How Hypothesis draws in every test: as it would by itself, but without judging how fast the machine is."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
