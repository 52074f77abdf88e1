"""How Hypothesis draws in every test: as it would by itself, but without judging how fast the machine is."""

from hypothesis import settings

import fake_server.adapters.authority  # noqa: F401 - cryptography fails if a run of pytest inside a test loads it again

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
