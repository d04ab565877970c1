"""Autoscaling without a cluster: targets from measured capacity, a simulator of the autoscalers, and what scores them.

Nothing here talks to a cluster or measures anything. What a pod can do comes from a race; what an autoscaler does
follows the sources of Kubernetes' HPA controller and Knative's KPA.
"""

__all__: list[str] = []
