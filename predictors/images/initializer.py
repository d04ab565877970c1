#!/usr/bin/python3 -IS
"""KServe's storage initializer: fetches each source address into its folder, then ends.

KServe starts it before the predictor with pairs of arguments: source, folder, source, folder. The fetching is
`kserve-storage`, which KServe publishes for this purpose.
"""

import sys

sys.path.append("/app")


def main(arguments: list[str]) -> int:
    """Fetch; return the exit code."""
    if not arguments or len(arguments) % 2:
        sys.stderr.write("usage: podium-initializer SOURCE FOLDER [SOURCE FOLDER ...]\n")
        return 2
    from kserve_storage import Storage, configure_logging

    configure_logging()
    Storage.download_files(arguments[::2], arguments[1::2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
