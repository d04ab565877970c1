"""S29: nobody without a login gets anything from the control plane or a node, whichever door is tried."""

import base64
import http.client
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Kubectl
from tests.eventually import eventually

pytestmark = pytest.mark.cluster

API, KUBELET, ETCD = 6443, 10250, 2379
# Of etcd's peers, its figures, the kubelet without TLS, kube-proxy, controller manager and scheduler.
INNER = (2381, 10255, 10249, 10257, 10259)
API_PATHS = (
    "/api",
    "/api/v1/secrets",
    "/api/v1/nodes",
    "/apis/serving.kserve.io/v1beta1/inferenceservices",
    "/metrics",
)
KUBELET_PATHS = ("/pods", "/runningpods/", "/metrics", "/configz", "/logs/", "/containerLogs/kube-system/any/any")
TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def addresses(cluster: Kubectl) -> dict[str, str]:
    """Return the address of each node, the control plane's first."""
    told = {
        node["metadata"]["name"]: next(
            one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"
        )
        for node in cluster.get("nodes")["items"]
    }
    return dict(sorted(told.items(), key=lambda item: not item[0].endswith("control-plane")))


@pytest.fixture(scope="module")
def login(cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return certificate and key of the cluster's administrator."""
    view = yaml.safe_load(cluster.run("config", "view", "--raw", "--minify", "--flatten").stdout)
    user, folder = view["users"][0]["user"], tmp_path_factory.mktemp("login")
    for name in ("certificate", "key"):
        (folder / name).write_bytes(base64.b64decode(user[f"client-{name}-data"]))
    return folder / "certificate", folder / "key"


@pytest.fixture
def opened(namespace: Kubectl) -> Iterator[None]:
    """Let everybody read what is in one namespace, for the control."""
    namespace.run("create", "role", "reader", "--verb=list", "--resource=secrets")
    namespace.run("create", "rolebinding", "everybody", "--role=reader", "--group=system:unauthenticated")
    yield
    namespace.run("delete", "rolebinding,role", "everybody", "reader", "--ignore-not-found", check=False)


def asked(address: str, port: int, path: str = "/", login: tuple[Path, Path] | None = None) -> str:
    """Return the status of an answer, or what else came of asking."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if login is not None:
        context.load_cert_chain(*login)
    connection = http.client.HTTPSConnection(address, port, context=context, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return str(connection.getresponse().status)
    except ssl.SSLError as error:
        return f"TLS: {error.reason}"
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def is_open(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=TIMEOUT_S).close()
    except OSError:
        return False
    return True


@pytest.mark.row("S29", "without a login: 401 or 403 from API server and kubelets, nothing from etcd, inner ports shut")
def test_no_door_of_the_control_plane_opens_without_a_login(
    addresses: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    front = next(iter(addresses.values()))
    answers = {f"API {path}": asked(front, API, path) for path in API_PATHS}
    for name, address in addresses.items():
        answers |= {f"kubelet of {name} {path}": asked(address, KUBELET, path) for path in KUBELET_PATHS}
    assert {door: answer for door, answer in answers.items() if answer not in ("401", "403")} == {}
    locked = {port: asked(front, port, "/v3/kv/range") for port in (ETCD, ETCD + 1)}
    assert all("CERTIFICATE" in answer.upper() for answer in locked.values()), locked
    reached = [(name, port) for name, address in addresses.items() for port in INNER if is_open(address, port)]
    assert reached == []
    record_property("S29", f"{len(answers)} questions refused, {len(INNER) * len(addresses)} inner ports shut")


@pytest.mark.control("S29")
def test_the_same_doors_open_with_a_login_and_where_everybody_is_let_in(
    addresses: dict[str, str], login: tuple[Path, Path], namespace: Kubectl, request: pytest.FixtureRequest
) -> None:
    front = next(iter(addresses.values()))
    assert {path: asked(front, API, path, login) for path in API_PATHS} == dict.fromkeys(API_PATHS, "200")
    assert asked(front, KUBELET, "/pods", login) == "200"
    assert is_open(front, ETCD)
    secrets = f"/api/v1/namespaces/{namespace.namespace}/secrets"
    assert asked(front, API, secrets) == "403"
    request.getfixturevalue("opened")
    eventually(lambda: asked(front, API, secrets) == "200", 15.0, 0.2)


def test_from_outside_the_api_server_is_reached_on_loopback_alone(addresses: dict[str, str]) -> None:
    for name in addresses:
        told = subprocess.run(["docker", "port", name], capture_output=True, text=True, check=True).stdout.split("\n")
        bound = [line.partition(" -> ")[2] for line in told if line]
        assert all(where.startswith("127.0.0.1:") for where in bound), (name, bound)
