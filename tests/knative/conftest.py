"""Knative on the running test cluster, or a skip that says how to get it."""

import pytest

from podium.cluster.kinds import KNATIVE_SERVICE

# Fixtures and the hook of the cluster's own tier.
from tests.cluster.conftest import Kubectl, cluster, namespace, pytest_runtest_makereport
from tests.knative.gateway import Gateway
from tests.needs import lack

__all__ = ["cluster", "namespace", "pytest_runtest_makereport"]


@pytest.fixture
def gateway(cluster: Kubectl) -> Gateway:
    """Return Kourier's gateway, or skip; fail where `PODIUM_REQUIRE` asks for Knative."""
    definition = f"services.{KNATIVE_SERVICE.api_version.partition('/')[0]}"
    if cluster.run("get", "crd", definition, check=False).returncode != 0:
        reason = "no Knative on the test cluster; ./scripts/cluster-up --knative adds it"
        lack("knative", reason)
    return Gateway.of(cluster)
