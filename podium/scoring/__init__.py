"""Autoscaling policies scored live: played on a cluster under one load, recorded second by second, compared.

A run is one policy under one schedule. What was recorded of it is a file, and every figure follows from that file
alone; so runs are scored again, compared and drawn without a cluster. Only `place` and `session` talk to one.
"""

__all__: list[str] = []
