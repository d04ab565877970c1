"""S12: an address in the place of an image or a model is refused, and nobody goes there.

A listener counts who comes. The control asks the same addresses as a server that fetches would, and is counted.
"""

import base64
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from podium.errors import ConfigError
from podium.source import locate
from tests.contract.server import Answer, Server

# Spellings of this machine's loopback address; the rest are what else an address can lead to.
LOOPBACK = (
    "127.0.0.1",
    "127.1",
    "localhost",
    "LOCALHOST",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "0.0.0.0",
    "127.0.0.2",
    "127.127.127.127",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "user@127.0.0.1",
    "a:b@127.0.0.1",
)
ELSEWHERE = (
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://kubernetes.default.svc/api/v1/secrets",
    "https://kubernetes.default.svc/api",
    "file:///etc/passwd",
    "file://localhost/etc/shadow",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "ftp://127.0.0.1/",
    "ldap://127.0.0.1/",
    "jar:http://127.0.0.1!/",
    "data:text/plain,x",
    "//127.0.0.1/",
    r"\\127.0.0.1\share",
    "http://127.0.0.1.example/",
    "http://rebind.example/",
)


class Listener:
    """Counts who comes to a port of loopback, over IPv4 and IPv6."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    self.asked.append(connection.recv(1000))
                    connection.sendall(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


def addresses(port: int) -> list[str]:
    here = [f"http://{name}:{port}/{number}" for number, name in enumerate(LOOPBACK)]
    others = [f"{scheme}://127.0.0.1:{port}/model" for scheme in ("https", "s3", "gs", "hf", "hdfs")]
    return [*here, *others, *ELSEWHERE]


def forms(server: Server, url: str) -> list[Answer]:
    """Ask with an address wherever an image is taken."""
    v1, v2 = "/v1/models/tiny:predict", "/v2/models/tiny/infer"
    raw = url.encode()
    encoded = base64.b64encode(raw).decode()
    instances: list[object] = [url, {"b64": url}, {"b64": encoded}, {"url": url}, {"image": {"url": url}}, {"uri": url}]
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [url]}
    return [
        *(server.post_json(v1, {"instances": [one]}) for one in instances),
        *(server.ask("POST", v1, raw, {"content-type": kind}) for kind in ("image/png", "text/uri-list")),
        server.post_json(v2, {"inputs": [tensor]}),
        server.post_json(v2, {"inputs": [{**tensor, "parameters": {"url": url}}]}),
    ]


@pytest.mark.row("S12", "40 addresses in the place of an image or a model: refused in every form, and nobody asks them")
def test_nobody_goes_to_an_address_that_a_request_names(
    pictures: Server, listener: Listener, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried = addresses(listener.port)
    assert len(tried) >= 40
    statuses = [answer.status for url in tried for answer in forms(pictures, url)]
    assert {status // 100 for status in statuses} == {4}, statuses
    # What names a model on this machine is followed below one folder, or refused.
    for url in tried:
        with pytest.raises(ConfigError):
            locate(url, tmp_path, tmp_path)
    assert listener.asked == []
    record_property("S12", f"{len(statuses)} requests with {len(tried)} addresses refused, 0 came to the listener")


@pytest.mark.control("S12")
def test_a_server_that_fetches_is_counted(listener: Listener) -> None:
    came = 0
    for url in addresses(listener.port)[: len(LOOPBACK)]:
        # A login in an address is refused by this client, and some spellings by some resolvers.
        with suppress(OSError, ValueError):
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
            came += 1
    assert came >= 10
    assert len(listener.asked) == came
