"""Podium's load side: play a load against a URL, measure it honestly, and judge what came back.

Knows a URL and a protocol, and could benchmark anybody's server; it knows nothing of how variants are built
or deployed.
"""
