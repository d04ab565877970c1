"""The shape of an InferenceService, as far as a race reads it or must refuse it.

KServe takes many more fields than Podium looks at. They pass through; a key that neither knows is refused,
because a misspelt one would otherwise be ignored in silence. What annotations mean is not known here.
"""

import re

from podium.document import Document, nearest

__all__ = [
    "API_VERSION",
    "FORMATS",
    "KIND",
    "MAX_NAME",
    "METADATA_KEYS",
    "MODEL_KEYS",
    "NAME",
    "PREDICTOR_KEYS",
    "check_shape",
]

API_VERSION = "serving.kserve.io/v1beta1"
KIND = "InferenceService"
FORMATS = ("pytorch", "onnx")
# KServe appends `-predictor` and Knative a revision; a DNS label ends at 63.
MAX_NAME = 47
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
# Words apart by spaces: the field names of the Kubernetes and KServe APIs.
_METADATA = (
    "name namespace annotations labels uid resourceVersion generation creationTimestamp "
    "managedFields finalizers ownerReferences selfLink"
)
_PREDICTOR = (
    # ComponentExtensionSpec
    "model minReplicas maxReplicas scaleTarget scaleMetric scaleMetricType autoScaling "
    "containerConcurrency timeout canaryTrafficPercent logger batcher labels annotations deploymentStrategy "
    # PodSpec
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy "
    "enableServiceLinks hostAliases hostIPC hostNetwork hostPID hostUsers hostname imagePullSecrets "
    "initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName "
    "readinessGates resourceClaims restartPolicy runtimeClassName schedulerName securityContext "
    "serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds "
    "tolerations topologySpreadConstraints volumes"
)
_MODEL = (
    "modelFormat storageUri protocolVersion runtime storage name "
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources "
    "resizePolicy securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
METADATA_KEYS = tuple(_METADATA.split())
PREDICTOR_KEYS = tuple(_PREDICTOR.split())
MODEL_KEYS = tuple(_MODEL.split())
_OLD_FORMATS = ("pytorch", "onnx", "triton", "sklearn", "xgboost", "tensorflow", "huggingface", "lightgbm")
_MODEL_FORM = "spec: {predictor: {model: {modelFormat: {name: pytorch}, storageUri: file://models/food11}}}"


def check_shape(document: Document) -> None:
    """Refuse whatever is not one InferenceService with one model predictor.

    Raises:
        FileError: of the document's kind, with file and line.
    """
    document.refuse_unknown((), _TOP)
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        found = document.text(key)
        if found != wanted:
            raise document.error((key,), f"{key} is {found!r}, and must be {wanted}", f"write {key}: {wanted}")
    document.refuse_unknown(("metadata",), METADATA_KEYS)
    name = document.text("metadata", "name")
    if NAME.fullmatch(name) is None or len(name) > MAX_NAME:
        raise document.error(
            ("metadata", "name"),
            f"the name {name!r} is not accepted",
            f"use lower-case letters, digits and dashes, a letter first, at most {MAX_NAME} characters",
        )
    _check_spec(document)


def _check_spec(document: Document) -> None:
    spec = document.mapping("spec")
    for part in ("transformer", "explainer"):
        if part in spec:
            raise document.error(
                ("spec", part), f"a race serves the predictor alone, not a {part}", f"remove spec.{part}"
            )
    document.refuse_unknown(("spec",), ("predictor",))
    predictor = document.mapping("spec", "predictor")
    for old in _OLD_FORMATS:
        if old in predictor:
            raise document.error(
                ("spec", "predictor", old), f"the old form spec.predictor.{old} is not read", _MODEL_FORM
            )
    document.refuse_unknown(("spec", "predictor"), PREDICTOR_KEYS)
    if "model" not in predictor:
        raise document.error(("spec", "predictor"), "spec.predictor.model is missing", _MODEL_FORM)
    document.refuse_unknown(("spec", "predictor", "model"), MODEL_KEYS)
    if "storage" in document.mapping("spec", "predictor", "model"):
        raise document.error(("spec", "predictor", "model", "storage"), "storage is not read", "use storageUri instead")
    document.refuse_unknown(("spec", "predictor", "model", "modelFormat"), ("name", "version"))
    keys = ("spec", "predictor", "model", "modelFormat", "name")
    if (found := document.text(*keys)) not in FORMATS:
        raise document.error(keys, f"the model format {found!r} cannot be raced", nearest(found, FORMATS))
