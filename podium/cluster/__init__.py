"""The tool on a Kubernetes cluster: what is asked of one, what is put there, and why something there is not ready.

Only `podium.cluster.adapter` talks to an API server; everything else works on the plain documents that it returns.
"""
