"""A proxy that passes bytes on and works for it, as a sidecar does: `python -m tests.forwarder LISTEN TARGET`.

Both are ports of this machine. Each piece of a request costs it a millisecond of the CPU's time.
"""

import asyncio
import sys
import time

_WORK_S = 0.001
_PIECE = 1 << 16


def _work() -> None:
    end = time.thread_time() + _WORK_S
    while time.thread_time() < end:
        pass


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, works: bool) -> None:
    try:
        while piece := await reader.read(_PIECE):
            if works:
                _work()
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _serve(listen: int, target: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_pass_on(reader, ahead, works=True), _pass_on(behind, writer, works=False))

    server = await asyncio.start_server(connected, "127.0.0.1", listen)
    async with server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
