"""What a release has on the cluster, of every kind there is, and what a namespace holds that not all of them hold."""

from tests.cluster.conftest import Kubectl

__all__ = ["held", "of_release"]

# What every namespace has; events outlast what they are about, and metrics are no objects.
_ALWAYS = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
_NO_TRACE = ("events", "events.events.k8s.io", "componentstatuses", "bindings")


def _kinds(cluster: Kubectl, *which: str) -> str:
    listed = cluster.run("api-resources", "--verbs=list", "-o", "name", *which).stdout.split()
    return ",".join(kind for kind in listed if kind not in _NO_TRACE and not kind.endswith("metrics.k8s.io"))


def of_release(cluster: Kubectl, release: str) -> set[str]:
    """Return everything that bears a release's name, in all namespaces and in none, and Helm's records of it."""
    words = ("-A", "-o", "name", "--ignore-not-found")
    own = cluster.run("get", _kinds(cluster), "-l", f"app.kubernetes.io/instance={release}", *words)
    records = cluster.run("get", "secrets,configmaps", "-l", f"owner=helm,name={release}", *words)
    return {*own.stdout.split(), *records.stdout.split()}


def held(namespace: Kubectl) -> set[str]:
    """Return everything in a namespace, of every kind, that not every namespace has."""
    found = namespace.run("get", _kinds(namespace, "--namespaced"), "-o", "name", "--ignore-not-found").stdout.split()
    return set(found) - _ALWAYS
