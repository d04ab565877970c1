"""The tool people run: commands, targets, races and reports on top of `predictors` and `loadtest`."""

ANNOTATION_PREFIX = "podium.dev/"

__all__ = ["ANNOTATION_PREFIX"]
