"""Serve one variant: HTTP front end, protocols, admission, micro-batching, metrics and life cycle.

Nothing here knows how a variant is made, and importing it loads no engine.
"""
