"""What Knative's autoscaler decides: a stable window for every day, a panic window for bursts.

Source: Knative Serving 0.48.1, `Scale` of `pkg/autoscaler/scaling/autoscaler.go`, and `handleScaleToZero` of
`pkg/reconciler/autoscaling/kpa/scaler.go`. Times are seconds of the simulation.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from podium.autoscaling.policy import KpaPolicy

__all__ = ["KpaState"]


@dataclass(slots=True)
class KpaState:
    """What the autoscaler remembers of one revision."""

    policy: KpaPolicy
    _panics_since: float | None = None
    _most_in_panic: int = 0
    _idle_since: float | None = None
    _delayed: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def is_panicking(self) -> bool:
        """Return whether it scales by the panic window, and only up."""
        return self._panics_since is not None

    def decide(self, stable: float, panic: float, ready: int, current: int, now_s: float) -> int:
        """Return the replicas that are set now, and remember them.

        Args:
            stable: mean of the metric over the stable window, of all pods together.
            panic: the same over the panic window.
            ready: pods that serve.
            current: replicas set so far.
            now_s: when; calls come in order.
        """
        policy = self.policy
        pods = max(1, ready)
        target = policy.effective_target
        most = math.ceil(policy.max_scale_up_rate * pods)
        least = math.floor(pods / policy.max_scale_down_rate)
        asked, asked_in_panic = (math.ceil(value / target - 1e-9) for value in (stable, panic))
        self._watch(asked_in_panic / pods >= policy.panic_threshold, now_s)
        wanted = min(max(asked, least), most)
        if self.is_panicking:
            self._most_in_panic = max(self._most_in_panic, wanted, min(max(asked_in_panic, least), most))
            wanted = self._most_in_panic
        wanted = self._after_delay(wanted, now_s)
        wanted = min(max(wanted, policy.replicas.min), policy.replicas.max)
        return self._above_zero(wanted, current, now_s)

    def _watch(self, is_over: bool, now_s: float) -> None:
        if is_over:
            self._panics_since = now_s
        elif self._panics_since is not None and self._panics_since + self.policy.stable_window_s < now_s:
            self._panics_since, self._most_in_panic = None, 0

    def _after_delay(self, wanted: int, now_s: float) -> int:
        if not self.policy.scale_down_delay_s:
            return wanted
        self._delayed.append((now_s, wanted))
        while self._delayed[0][0] <= now_s - self.policy.scale_down_delay_s:
            self._delayed.popleft()
        return max(count for _, count in self._delayed)

    def _above_zero(self, wanted: int, current: int, now_s: float) -> int:
        """Keep one pod for the grace period, in which the activator takes over."""
        if wanted or not current:
            self._idle_since = None
            return wanted
        if self._idle_since is None:
            self._idle_since = now_s
        return 0 if now_s - self._idle_since >= self.policy.scale_to_zero_grace_s else 1
