"""A server that computes nothing: the same answer to everything, to see what the client can do at most."""

import os
import select
import socket

BODY = bytes.fromhex(os.environ["ANSWER"])
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    open_socks: dict[int, socket.socket] = {}
    pending: dict[int, int] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_socks[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
                continue
            data = open_socks[number].recv(65536)
            if not data:
                poll.unregister(number)
                open_socks.pop(number).close()
                pending.pop(number, None)
                continue
            left = pending.pop(number, 0)
            if not left:
                head, _, body = data.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                left = length + len(data) - len(body)
            left -= len(data)
            if left > 0:
                pending[number] = left
            else:
                open_socks[number].sendall(ANSWER)


if __name__ == "__main__":
    main()
