"""What a tenant may submit and what it may not: honest documents, and hostile ones that break one rule each."""

from typing import Any, NamedTuple

from tests.cluster.submitted import (
    DIGEST,
    IMAGE,
    KEYS,
    OPEN,
    SMALL,
    Document,
    canary,
    changed,
    container,
    cron,
    custom,
    deployment,
    job,
    load,
    network_service,
    pod,
    runtime,
    service,
)

__all__ = ["Hostile", "honest", "hostile", "signed", "unsigned"]


class Hostile(NamedTuple):
    """A document that breaks one rule."""

    name: str
    rule: str
    document: Document


_LOOK = {"exec": {"command": ["python3", "-c", "pass"]}}


def _affinity(kind: str) -> Document:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    return {"nodeAffinity": required if kind == "required" else preferred}


def _volume(**source: Any) -> list[Document]:
    return [{"name": "x", **source}]


def _many(run: Document) -> Document:
    """Return load by three pods."""
    return changed(changed(run, "spec parallelism", 3), "spec completions", 3)


def _endless(namespace: str) -> Document:
    """Return a Deployment of load generators."""
    made = changed(deployment(), "spec template", load(namespace)["spec"]["template"])
    made = changed(made, "spec template metadata labels app", "x")
    made = changed(made, "spec template spec restartPolicy", "Always")
    return changed(made, "spec template spec serviceAccountName", None)


def hostile(namespace: str) -> list[Hostile]:
    """Return documents that break one rule each, for a namespace."""
    plain, own, hand, run = service(), custom(), runtime(), load(namespace)
    at, first, inside = "spec predictor", "spec predictor containers 0", "spec template spec"
    token = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    alone = changed(plain, "metadata annotations serving.kserve.io/autoscalerClass", "none")
    foreign = f"docker.io/x/y{DIGEST}"
    away = network_service(type="ExternalName", externalName="evil.example", selector=None, ports=None)
    second = [*own["spec"]["predictor"]["containers"], {"name": "sidecar", "image": IMAGE}]
    env = f"{inside} containers 0 env"
    model = plain["spec"]["predictor"]["model"]
    fetches = {"name": "STORAGE_URI", "value": "s3://x"}
    asks, from_secret = OPEN["name"], {"secretKeyRef": {"name": "food11-keys", "key": "keys"}}
    bears = {"app.kubernetes.io/name": "loadtest", "app.kubernetes.io/component": "runner"}
    served, transforms = {"serving.kserve.io/inferenceservice": "x"}, {"component": "transformer"}
    shared = {"name": "RUNNERS", "value": "1"}
    labels = "spec template metadata labels"
    wide, by_hand = {"limits": {"memory": "1Ti"}}, {"exec": {"command": ["sh", "-c", "k6"]}}
    one = run["spec"]["template"]["spec"]["containers"][0]
    both = [one, {**one, "name": "two"}]
    rows: list[tuple[str, str, Document, str, Any]] = [
        ("the node's network", "host-namespace", plain, f"{at} hostNetwork", True),
        ("the node's processes", "host-namespace", plain, f"{at} hostPID", True),
        ("the node's IPC", "host-namespace", plain, f"{at} hostIPC", True),
        ("the node's root", "host-path", plain, f"{at} volumes", _volume(hostPath={"path": "/"})),
        ("the node's folder in a runtime", "host-path", hand, "spec volumes", _volume(hostPath={"path": "/run"})),
        ("a driver's volume", "volume-type", plain, f"{at} volumes", _volume(csi={"driver": "x.example"})),
        ("a file server", "volume-type", plain, f"{at} volumes", _volume(nfs={"server": "x", "path": "/"})),
        ("a disk without an end", "volume-size", plain, f"{at} volumes", _volume(emptyDir={})),
        ("a projected token", "token-volume", plain, f"{at} volumes", _volume(projected=token)),
        ("a chosen node", "pod-field", plain, f"{at} nodeName", "podium-control-plane"),
        ("a priority", "pod-field", plain, f"{at} priorityClassName", "system-node-critical"),
        ("a runtime class", "pod-field", plain, f"{at} runtimeClassName", "unconfined"),
        ("a scheduler", "pod-field", plain, f"{at} schedulerName", "mine"),
        ("a false name", "pod-field", plain, f"{at} hostAliases", [{"ip": "10.0.0.1", "hostnames": ["store"]}]),
        ("every taint", "toleration", plain, f"{at} tolerations", [{"operator": "Exists"}]),
        (
            "the control plane's taint",
            "toleration",
            plain,
            f"{at} tolerations",
            [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        ),
        ("a node by its name", "node-label", plain, f"{at} nodeSelector", {"kubernetes.io/hostname": "node-1"}),
        ("a node by affinity", "node-label", plain, f"{at} affinity", _affinity("required")),
        ("a node by preference", "node-label", plain, f"{at} affinity", _affinity("preferred")),
        ("a pod as root", "root-user", plain, f"{at} securityContext", {"runAsUser": 0}),
        ("root by permission", "root-user", own, f"{first} securityContext", {"runAsNonRoot": False}),
        ("a system user", "root-user", plain, f"{at} model securityContext", {"runAsUser": 33}),
        ("a sysctl", "root-user", plain, f"{at} securityContext", {"sysctls": [{"name": "a.b", "value": "1"}]}),
        ("all calls", "syscalls", plain, f"{at} securityContext", {"seccompProfile": {"type": "Unconfined"}}),
        (
            "all calls of one",
            "syscalls",
            own,
            f"{first} securityContext",
            {"seccompProfile": {"type": "Unconfined"}},
        ),
        ("a race's account", "service-account", plain, f"{at} serviceAccountName", "podium-racer"),
        ("a pipeline's account", "service-account", plain, f"{at} serviceAccountName", "podium-deployer"),
        ("another team's account", "service-account", plain, f"{at} serviceAccountName", "text-models"),
        ("an account by its old name", "service-account", plain, f"{at} serviceAccount", "builder"),
        ("a tag", "image-digest", own, f"{first} image", "registry.example/team/predictor:1.2.3"),
        ("no tag", "image-digest", own, f"{first} image", "registry.example/team/predictor"),
        ("a digest in a tag", "image-digest", own, f"{first} image", "registry.example/x:sha256-" + "0" * 64),
        ("half a digest", "image-digest", own, f"{first} image", "registry.example/x@sha256:0f1e2d3c"),
        ("upper case", "image-digest", own, f"{first} image", f"registry.example/Team/x{DIGEST}"),
        ("a letter that looks alike", "image-digest", own, f"{first} image", f"registry.exаmple/x{DIGEST}"),
        ("a way up", "image-digest", own, f"{first} image", f"registry.example/../x{DIGEST}"),
        ("a user before the host", "image-digest", own, f"{first} image", f"registry.example/@x.example/x{DIGEST}"),
        ("an image in a model", "image-digest", plain, f"{at} model image", "docker.io/evil/x:1"),
        ("an image of a runtime", "image-digest", hand, "spec containers 0 image", "registry.example/x:1"),
        ("another registry", "image-registry", own, f"{first} image", f"docker.io/evil/x{DIGEST}"),
        ("a longer host", "image-registry", own, f"{first} image", f"registry.example.evil.example/x{DIGEST}"),
        ("an address as a number", "image-registry", own, f"{first} image", f"3232235777/x{DIGEST}"),
        ("another folder", "image-registry", own, f"{first} image", f"registry.example:5000/x{DIGEST}"),
        (
            "an image that comes first",
            "image-registry",
            own,
            f"{at} initContainers",
            [container("first", foreign)],
        ),
        (
            "a transformer's image",
            "image-digest",
            plain,
            "spec transformer",
            {"automountServiceAccountToken": False, "containers": [container("t", "registry.example/x:1")]},
        ),
        (
            "a worker's image",
            "image-registry",
            alone,
            f"{at} workerSpec",
            {"containers": [container("w", foreign)]},
        ),
        ("a privileged container", "privileged", own, f"{first} securityContext", {"privileged": True}),
        ("a privileged runtime", "privileged", hand, "spec containers 0 securityContext", {"privileged": True}),
        ("privileges later", "privileged", own, f"{first} securityContext allowPrivilegeEscalation", True),
        ("a capability", "privileged", own, f"{first} securityContext capabilities", {"add": ["SYS_ADMIN"]}),
        ("the kernel's files", "privileged", own, f"{first} securityContext procMount", "Unmasked"),
        ("a root that can be written", "writable-root", own, f"{first} securityContext readOnlyRootFilesystem", False),
        ("a port of the node", "host-port", own, f"{first} ports", [{"containerPort": 8080, "hostPort": 80}]),
        ("a runtime without limits", "limits-set", hand, "spec containers 0 resources", {}),
        ("a terabyte", "limits-cap", plain, f"{at} model resources limits", {"cpu": "1", "memory": "1Ti"}),
        ("a device", "limits-cap", plain, f"{at} model resources limits", {**SMALL, "devices.example/fuse": "1"}),
        ("a terabyte for all containers", "limits-cap", plain, f"{at} resources", wide),
        ("a terabyte for a pod", "limits-cap", deployment(), f"{inside} resources", wide),
        ("a model of the internet", "storage", plain, f"{at} model storageUri", "https://evil.example/model.onnx"),
        ("another claim", "storage", plain, f"{at} model storageUri", "pvc://podium-artifacts-2/x"),
        ("a way up in the store", "storage", plain, f"{at} model storageUri", "pvc://podium-artifacts/../x"),
        ("a model by its key", "storage-form", plain, f"{at} model storage", {"key": "x", "path": "y"}),
        ("a model by a variable", "storage-env", own, f"{first} env", [OPEN, fetches]),
        ("a thousand pods", "replicas", plain, f"{at} maxReplicas", 1000),
        ("a listener outside", "logger", plain, f"{at} logger", {"url": "http://evil.example", "mode": "all"}),
        ("a listener next door", "logger", plain, f"{at} logger", {"url": "http://log.text.svc", "mode": "all"}),
        ("nothing said of keys", "keys", plain, f"{at} model env", None),
        ("keys as a variable", "keys", plain, f"{at} model env", [{"name": asks, "valueFrom": from_secret}]),
        ("no word for none", "keys", own, f"{first} env", [{"name": asks, "value": ""}]),
        ("a canary without a word of keys", "keys", plain, "spec canary", canary(model={**model, "env": []})),
        ("a model that loads", "load-kind", plain, "metadata labels", bears),
        ("a predictor that loads", "load-kind", plain, f"{at} labels", bears),
        ("a canary that loads", "load-kind", plain, "spec canary", canary(model=model, labels=bears)),
        ("a runtime that loads", "load-kind", hand, "spec labels", bears),
        (
            "a runtime's worker that loads",
            "load-kind",
            hand,
            "spec workerSpec",
            {"containers": [container("w")], "labels": bears},
        ),
        ("a predictor like a transformer", "pod-label", plain, f"{at} labels", transforms),
        ("a Deployment like a transformer", "pod-label", deployment(), labels, {"app": "x", **served, **transforms}),
        ("a Deployment like a predictor", "pod-label", deployment(), labels, {"app": "x", **served}),
        ("a pod like a predictor", "pod-label", pod(), "metadata labels", served),
        ("a Job like a transformer", "pod-label", job(), labels, {**served, **transforms}),
        ("another network", "annotation", plain, "metadata annotations k8s.v1.cni.cncf.io/networks", "host"),
        (
            "KServe's own annotation",
            "annotation",
            plain,
            f"{at} annotations internal.serving.kserve.io/storage-initializer-sourceuri",
            "s3://x",
        ),
        ("a token for a model", "token", plain, f"{at} automountServiceAccountToken", True),
        ("a token", "token", job(), f"{inside} automountServiceAccountToken", True),
        ("a token by default", "token", deployment(), f"{inside} automountServiceAccountToken", None),
        ("a worker's token", "token", alone, f"{at} workerSpec", {"containers": [container("w")]}),
        ("a canary in an old form", "old-form", plain, "spec canary", canary(sklearn={"storageUri": "s3://models/x"})),
        ("a canary's image", "image-digest", plain, "spec canary", canary(model={**model, "image": "x.example/x:1"})),
        ("a canary's model", "storage", plain, "spec canary", canary(model={**model, "storageUri": "s3://mine/x"})),
        ("ten times the rate", "load-rate", run, f"{env} 0 value", "10000"),
        ("a rate that is none", "load-rate", run, f"{env} 0 value", "1e9"),
        ("no bound of the rate", "load-rate", run, env, [shared, {"name": "LOADTEST_NAMESPACE", "value": namespace}]),
        ("a second bound", "load-rate", run, f"{env} +", {"name": "LOADTEST_MAX_RATE", "value": "9"}),
        ("load next door", "load-target", run, f"{env} 1 value", "text"),
        ("load anywhere", "load-target", run, env, [shared, {"name": "LOADTEST_MAX_RATE", "value": "9"}]),
        ("load by a shell", "load-command", run, f"{inside} containers 0 command", ["sh", "-c", "k6"]),
        ("orders from outside", "load-command", run, f"{inside} containers 0 args", ["--results=http://x.example"]),
        ("load by another image", "load-image", run, f"{inside} containers 0 image", IMAGE),
        ("load by two containers", "load-alone", run, f"{inside} containers", both),
        ("load by one that comes first", "load-alone", run, f"{inside} initContainers", both[1:]),
        (
            "a program in a claim",
            "load-alone",
            run,
            f"{inside} volumes",
            _volume(persistentVolumeClaim={"claimName": "x"}),
        ),
        ("load after the start", "load-form", run, f"{inside} containers 0 lifecycle", {"postStart": by_hand}),
        ("load by a probe", "load-form", run, f"{inside} containers 0 livenessProbe", by_hand),
        ("a program of another folder", "load-form", run, f"{inside} containers 0 workingDir", "/plan"),
        ("a program of a path", "load-form", run, f"{env} +", {"name": "PYTHONPATH", "value": "/plan"}),
        ("a generator of its own", "load-form", run, f"{env} +", {"name": "PODIUM_K6", "value": "/plan/k6"}),
        (
            "variables from elsewhere",
            "load-form",
            run,
            f"{inside} containers 0 envFrom",
            [{"configMapRef": {"name": "x"}}],
        ),
        ("each at the whole rate", "load-runners", _many(run), f"{env} 2 value", "1"),
        ("no number of generators", "load-runners", run, f"{env} 2 name", "POD_UID"),
        ("two hours", "job-time", run, "spec activeDeadlineSeconds", 7200),
        ("no end", "job-time", job(), "spec activeDeadlineSeconds", None),
        ("no end by the clock", "job-time", cron(), "spec jobTemplate spec activeDeadlineSeconds", None),
        ("Jobs that stay", "job-kept", job(), "spec ttlSecondsAfterFinished", None),
        ("a hundred generators", "job-size", run, "spec parallelism", 100),
        ("a Job on the node", "host-path", run, f"{inside} volumes", _volume(hostPath={"path": "/"})),
        ("a Job in the node's network", "host-namespace", run, f"{inside} hostNetwork", True),
        ("a Job by tag", "image-digest", run, f"{inside} containers 0 image", "registry.example/x:1"),
        ("a Job as a pipeline", "service-account", run, f"{inside} serviceAccountName", "podium-deployer"),
        ("a generator that never ends", "load-kind", _endless(namespace), "metadata name", "x"),
        ("a Deployment from elsewhere", "image-registry", deployment(), f"{inside} containers 0 image", foreign),
        ("a pod by tag", "image-digest", pod(), "spec containers 0 image", "registry.example/x:1"),
        ("a sidecar without limits", "limits-set", own, f"{at} containers", second),
        ("a name for the outside", "service-type", away, "metadata name", "x"),
        ("a foreign address", "service-type", network_service(), "spec externalIPs", ["198.51.100.7"]),
        ("a Service of nobody's pods", "service-selector", network_service(), "spec selector", None),
    ]
    return [Hostile(name, rule, changed(base, path, value)) for name, rule, base, path, value in rows]


def unsigned() -> list[Hostile]:
    """Return documents that would serve an unsigned model, where the platform asks for signatures."""
    plain, own = service(), custom()
    at, model = "spec predictor", "spec predictor model"
    spec = plain["spec"]["predictor"]["model"]
    mounted = changed(plain, f"{at} volumes", _volume(persistentVolumeClaim={"claimName": "podium-artifacts"}))
    from_secret = {"secretKeyRef": {"name": "store", "key": "key"}}
    name = "PREDICTOR_VERIFY_KEY"
    other = {"name": name, "value": "ed25519:" + "A" * 43 + "="}
    preload = {"name": "LD_PRELOAD", "value": "/mnt/models/x.so"}
    rows: list[tuple[str, str, Document, str, Any]] = [
        ("an image that checks nothing", "signature", own, "metadata name", "food11"),
        ("a runtime that checks nothing", "signature", plain, f"{model} runtime", "own"),
        ("a runtime of KServe", "signature", plain, f"{model} runtime", "kserve-lgbserver"),
        ("any runtime", "signature", plain, f"{model} runtime", None),
        ("a canary's runtime", "signature", plain, "spec canary", canary(model={**spec, "runtime": "own"})),
        ("no key", "signature-check", plain, f"{model} env", [OPEN, {"name": name, "value": ""}]),
        ("a key of its own", "signature-check", plain, f"{model} env", [OPEN, other]),
        (
            "a key of a Secret",
            "signature-check",
            plain,
            f"{model} env",
            [OPEN, {"name": name, "valueFrom": from_secret}],
        ),
        ("a key by its flag", "signature-check", plain, f"{model} args", ["--verify-key="]),
        ("a key by half a flag", "signature-check", plain, f"{model} args", ["--ver", other["value"]]),
        ("another program", "signature-check", plain, f"{model} command", ["python3", "/mnt/models/serve.py"]),
        ("another image", "signature-check", plain, f"{model} image", IMAGE),
        ("a program after the start", "signature-check", plain, f"{model} lifecycle", {"postStart": _LOOK}),
        ("a library", "signature-check", plain, f"{model} env", [OPEN, preload]),
        ("a library of a ConfigMap", "signature-check", plain, f"{model} envFrom", [{"configMapRef": {"name": "x"}}]),
        *(
            (f"a program as {probe}", "signature-check", plain, f"{model} {probe}", _LOOK)
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        ),
        *(
            (f"files over the program's by {path}", "signature-check", mounted, f"{model} volumeMounts", [over])
            for path in ("/app", "/mnt/../app")
            for over in [{"name": "x", "mountPath": path}]
        ),
        ("a canary's key", "signature-check", plain, "spec canary", canary(model={**spec, "env": [OPEN, other]})),
        ("a runtime in the platform's place", "signature-runtime", runtime(), "metadata name", "podium-ort"),
    ]
    return [Hostile(name, rule, changed(base, path, value)) for name, rule, base, path, value in rows]


def signed() -> dict[str, Document]:
    """Return documents that a tenant may submit where the platform asks for signatures."""
    at, model = "spec predictor", "spec predictor model"
    other = {"automountServiceAccountToken": False, "containers": [{**container("t"), "args": ["--verbose"]}]}
    least = {"name": "PREDICTOR_LEAST_VERSION", "value": "3"}
    return {
        "the runtime's key": service(),
        **{
            f"key {number} of the platform": changed(
                service(), f"{model} env", [{"name": "PREDICTOR_VERIFY_KEY", "value": key}, least]
            )
            for number, key in enumerate(KEYS, 1)
        },
        "settings of the server": changed(service(), f"{model} args", ["--max-batch", "4"]),
        "a longer start": changed(
            service(),
            f"{model} startupProbe",
            {"httpGet": {"path": "/healthz/ready", "port": 8082}, "failureThreshold": 900},
        ),
        "files beside the program": changed(
            changed(service(), f"{at} volumes", _volume(configMap={"name": "labels"})),
            f"{model} volumeMounts",
            [{"name": "x", "mountPath": "/mnt/labels"}],
        ),
        "a transformer": changed(service(), "spec transformer", other),
        "a canary": changed(service(), "spec canary", canary(model=service()["spec"]["predictor"]["model"])),
        "a runtime that nobody serves by": runtime(),
    }


def honest(namespace: str) -> dict[str, Document]:
    """Return documents that a tenant may submit, by what they show."""
    at, first, inside = "spec predictor", "spec predictor containers 0", "spec template spec"
    gpu = {**SMALL, "nvidia.com/gpu": "1"}
    on_gpu = changed(service(), f"{at} model resources", {"requests": gpu, "limits": gpu})
    term = {"matchExpressions": [{"key": "podium.dev/node-class", "operator": "In", "values": ["epyc"]}]}
    placed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    secret = {"secretKeyRef": {"name": "store", "key": "token"}}
    folders = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "podium-artifacts", "readOnly": True}},
        {"name": "key", "secret": {"secretName": "store"}},
    ]
    other = {"automountServiceAccountToken": False, "containers": [container("t")]}
    director = changed(load(namespace), "metadata name", "night-director")
    director = changed(director, "spec template spec containers 0 command", ["python", "-m", "loadtest.director"])
    words = ["--plan=/plan/plan.json", "--results=http://night-results:8090", "--runners=2", "--folder=/work"]
    return {
        "a model on our runtime": service(),
        "an autoscaler of its own": changed(
            service(), "metadata annotations serving.kserve.io/autoscalerClass", "external"
        ),
        "a model in the object store": changed(service(), f"{at} model storageUri", "s3://models/food11/0a1b"),
        "another engine": changed(service(), f"{at} model runtime", "podium-openvino"),
        "a GPU": changed(on_gpu, f"{at} tolerations", [{"key": "nvidia.com/gpu", "operator": "Exists"}]),
        "a node class": changed(service(), f"{at} affinity", {"nodeAffinity": placed}),
        "an account of its own": changed(service(), f"{at} serviceAccountName", "food11"),
        "ten pods": changed(changed(service(), f"{at} minReplicas", 2), f"{at} maxReplicas", 10),
        "a listener of its own": changed(service(), f"{at} logger", {"url": "http://log", "mode": "all"}),
        "its own image": custom(),
        "tag and digest": changed(custom(), f"{first} image", f"registry.example/team/x:1.2.3{DIGEST}"),
        "a registry with a port": changed(custom(), f"{first} image", f"registry.example:5000/podium/x{DIGEST}"),
        "folders": changed(custom(), f"{at} volumes", folders),
        "a secret of its own": changed(custom(), f"{first} env", [OPEN, {"name": "TOKEN", "valueFrom": secret}]),
        "keys from a mounted Secret": changed(
            changed(service(), f"{at} volumes", _volume(secret={"secretName": "food11-keys"})),
            f"{at} model env",
            [{"name": OPEN["name"], "value": "/mnt/keys/keys"}],
        ),
        "a container that comes first": changed(custom(), f"{at} initContainers", [container("first")]),
        "a transformer": changed(service(), "spec transformer", other),
        "a runtime of its own": runtime(),
        "a Job": job(),
        "a Job by the clock": cron(),
        "load": load(namespace),
        "load by three": changed(_many(load(namespace)), f"{inside} containers 0 env 2 value", "3"),
        "a canary": changed(
            service(), "spec canary", canary(model=service()["spec"]["predictor"]["model"], labels={"team": "x"})
        ),
        "a director of load": changed(director, "spec template spec containers 0 args", words),
        "a Deployment": deployment(),
        "a pod": pod(),
        "a Service": network_service(),
    }
