"""A process with KServe's own model server around our adapter: `python -m tests.contract.sdk_server NAME FOLDER`.

The SDK reads its flags (`--http_port`, `--grpc_port`) from the command line when it is imported.
"""

import sys

import kserve

from predictors.server.kserve_model import KServeModel


def main() -> None:
    model = KServeModel(sys.argv[1], sys.argv[2], cpus=1)
    model.load()
    kserve.ModelServer(workers=1).start([model])


if __name__ == "__main__":
    main()
