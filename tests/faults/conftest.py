"""The cluster of the tier `cluster`, for faults that take longer than that tier may: ./scripts/test faults."""

from tests.cluster.conftest import cluster, namespace, pytest_runtest_makereport

__all__ = ["cluster", "namespace", "pytest_runtest_makereport"]
