"""Settings that every tier shares: no deadline for property tests, since the machine is shared."""

from hypothesis import settings

settings.register_profile("podium", deadline=None, print_blob=True)
settings.load_profile("podium")
