"""Long searches for inputs that nobody thought of: ./scripts/test fuzz; PODIUM_FUZZ_S sets seconds a target."""
