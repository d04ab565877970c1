"""The test cluster on one machine, made from language package registries where no container registry is in reach.

`python -m k8s.airgap up` and `down` are what `scripts/cluster-up` and `scripts/cluster-down` run. Nothing in `podium`,
`predictors` or `loadtest` needs this package: they talk to whatever cluster the kubeconfig names.
"""
