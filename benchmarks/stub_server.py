"""A real server with the service times of one that exists as arithmetic (`tests/servers.py`), for races on loopback.

python -m benchmarks.stub_server --kind bimodal --mean-ms 10 --seed 1
"""

import argparse
import asyncio
from typing import get_args

import numpy as np

from tests.servers import Kind, Server
from tests.truth.queue_server import options_of, serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=get_args(Kind), required=True)
    parser.add_argument("--mean-ms", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = options_of(parser)
    server, random = Server(options.kind, options.mean_ms / 1000), np.random.default_rng(options.seed)
    # As in virtual time, nobody knows how old a server is that is met.
    age_s = random.uniform(0, 60)
    asyncio.run(serve(options, lambda _number, at_s: server.took_s(age_s + at_s, random)))


if __name__ == "__main__":
    main()
