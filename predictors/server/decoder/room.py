"""Whether a container has room for what its decoders may take, beside the server itself."""

import logging

from predictors.server import cgroup
from predictors.server.decoder.sandbox import MEMORY_MIB
from predictors.server.memory import resident_bytes

__all__ = ["warn_of_little_room"]

_log = logging.getLogger(__name__)


def warn_of_little_room(workers: int) -> None:
    """Log a warning where hostile images in all decoders at once would take the container beyond its limit.

    It is asked before a model is loaded, so that who is not warned may still have too little.
    """
    limit = cgroup.memory_limit()
    if limit is None:
        return
    wanted = resident_bytes() + workers * (MEMORY_MIB << 20)
    if wanted > limit:
        told = {"limit_mib": limit >> 20, "wanted_mib": wanted >> 20, "workers": workers}
        _log.warning(
            "hostile images may take the container beyond its memory limit, which ends it: raise that",
            extra={"fields": told},
        )
