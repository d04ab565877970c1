"""What can go wrong between the tool and a cluster.

ClusterError                  the cluster cannot do it
├── UnreachableError          no API server answers, or the kubeconfig leads nowhere
├── DeniedError               the user may not do it
├── NotServedError            the API server does not know the kind: what defines it is not installed
├── ConflictError             the object belongs to somebody else
├── RefusedByClusterError     the object is not accepted: schema, admission or quota
├── WebhookError              an admission webhook that must answer does not
├── DeadlineError             a wait gave up; says what it last saw
└── DeploymentError           something deployed cannot become ready, and why
"""

from podium.errors import ClusterError

__all__ = [
    "ClusterError",
    "ConflictError",
    "DeadlineError",
    "DeniedError",
    "DeploymentError",
    "NotServedError",
    "RefusedByClusterError",
    "UnreachableError",
    "WebhookError",
]


class UnreachableError(ClusterError):
    """No API server answers, or the kubeconfig leads nowhere."""


class DeniedError(ClusterError):
    """The user may not do it."""


class NotServedError(ClusterError):
    """The API server does not know the kind.

    Attributes:
        kind: the kind, as `InferenceService.serving.kserve.io/v1beta1`.
    """

    def __init__(self, sentence: str, kind: str, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.kind = kind


class ConflictError(ClusterError):
    """The object belongs to somebody else."""


class RefusedByClusterError(ClusterError):
    """The object is not accepted: schema, admission or quota."""


class WebhookError(ClusterError):
    """An admission webhook that must answer does not."""


class DeadlineError(ClusterError):
    """A wait gave up.

    Attributes:
        last_seen: what it saw last, in words.
    """

    def __init__(self, sentence: str, last_seen: str, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.last_seen = last_seen


class DeploymentError(ClusterError):
    """Something deployed cannot become ready, and why."""
