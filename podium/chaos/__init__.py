"""Faults for a person's own InferenceServices: drawn from a seed, logged, undone, and judged by a prober.

What may be touched is bounded by the file of faults and by what was allowed on the command line. Nothing here knows how
a race measures: the prober asks at a constant rate and knows right answers, and that is all.
"""

__all__: list[str] = []
