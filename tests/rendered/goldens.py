"""Texts that are kept and compared. `PODIUM_GOLDENS=write` writes them again, and the run that does so fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["compare"]


def compare(kept: Path, made: str) -> None:
    """Compare a text with the kept one, or write it and fail where the run was asked to write."""
    before = kept.read_text(encoding="utf-8") if kept.exists() else None
    if os.environ.get("PODIUM_GOLDENS") == "write":
        if before != made:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(made, encoding="utf-8")
        pytest.fail(f"wrote {kept.name}; look at the difference and run again without PODIUM_GOLDENS")
    if before is None:
        pytest.fail(f"there is no {kept}; PODIUM_GOLDENS=write makes it")
    assert made == before
