"""The pods that follow from what the charts render, and what Pod Security and Podium's own rules say of them."""

from __future__ import annotations

from typing import Any

__all__ = ["breaches", "kserve_pod", "pods"]

Object = dict[str, Any]
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_MERGED_BY = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}
_MODEL_ONLY = {"modelFormat", "runtime", "protocolVersion", "storageUri"}


def kserve_pod(runtime: Object, service: Object) -> Object:
    """Return the pod spec that KServe makes of a runtime and an InferenceService, as far as we set any of it."""
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key != "model"}
    model = {key: value for key, value in service["spec"]["predictor"]["model"].items() if key not in _MODEL_ONLY}
    container = dict(runtime["spec"]["containers"][0])
    for key, value in model.items():
        container[key] = _merged(key, container.get(key), value)
    return {**predictor, "volumes": runtime["spec"].get("volumes", []), "containers": [container]}


def _merged(key: str, below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{name: _merged(name, below.get(name), value) for name, value in above.items()}}
    if isinstance(below, list) and isinstance(above, list):
        if key not in _MERGED_BY:
            return [*below, *above] if key == "args" else above
        named = {one[_MERGED_BY[key]]: one for one in below}
        return list((named | {one[_MERGED_BY[key]]: one for one in above}).values())
    return above


def pods(made: list[Object]) -> dict[str, Object]:
    """Return the pod specs of Jobs and Deployments, and of a TestRun what its pods are given, by name."""
    found: dict[str, Object] = {}
    for one in made:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] in {"Deployment", "Job"}:
            found[name] = one["spec"]["template"]["spec"]
        elif one["kind"] == "TestRun":
            for part in ("initializer", "starter", "runner"):
                spec = one["spec"][part]
                found[f"{name}/{part}"] = {
                    "securityContext": spec["securityContext"],
                    "containers": [{"name": part, "securityContext": spec["containerSecurityContext"]}],
                    "automountServiceAccountToken": spec["automountServiceAccountToken"] != "false",
                }
    return found


def breaches(pod: Object) -> list[str]:
    """Return what the profile "restricted" of Pod Security refuses."""
    found = [f"{key}: {pod[key]}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        found += [f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - _VOLUMES]
    general = pod.get("securityContext") or {}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext") or {}
        said = f"container {container['name']}: "
        if not own.get("runAsNonRoot", general.get("runAsNonRoot")):
            found.append(said + "may run as root")
        if own.get("runAsUser", general.get("runAsUser")) == 0:
            found.append(said + "runs as root")
        if (own.get("seccompProfile") or general.get("seccompProfile") or {}).get("type") not in {
            "RuntimeDefault",
            "Localhost",
        }:
            found.append(said + "has no seccomp profile")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(said + "may gain privileges")
        capabilities = own.get("capabilities") or {}
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
            found.append(said + "keeps capabilities")
        if own.get("privileged"):
            found.append(said + "is privileged")
        found += [said + f"hostPort {port['hostPort']}" for port in container.get("ports", []) if port.get("hostPort")]
    return found
