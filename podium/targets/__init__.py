"""Where a race runs: one module a target behind one Protocol (`target.py`)."""
