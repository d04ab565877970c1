"""The results server of load generators behind the emulator's proxy, as the runners' release brings it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.results_server import Board, serve
from tests.api.conftest import Api

__all__ = ["serving_board"]


@contextmanager
def serving_board(folder: Path, api: Api, place: str) -> Iterator[Board]:
    """Serve the results of a folder, reached under a place such as `services/load-results:8090`."""
    server = serve(folder, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    api.server.behind[place] = f"http://127.0.0.1:{server.server_address[1]}"
    yield server.board  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()
