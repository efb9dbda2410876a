"""Settings that the tests share."""

from hypothesis import settings

settings.register_profile("pairloss", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("pairloss")
