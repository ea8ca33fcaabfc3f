"""The loop around handler.py. It speaks the Runtime API over a bare socket, because AWS's own
loop is C there: what is measured is to be the handler."""
import json
import os
import socket
import sys

from handler import handler


def read(stream):
    """Reads one response: its headers, in lower case, and its body."""
    if not stream.readline():
        sys.exit(0)
    headers = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return headers, stream.read(int(headers.get(b"content-length", 0)))


def main():
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
    api = socket.create_connection((host, int(port)))
    api.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = api.makefile("rb", buffering=1 << 18)
    base = b"/2018-06-01/runtime/invocation/"
    while True:
        api.sendall(b"GET " + base + b"next HTTP/1.1\r\nHost: lambda\r\n\r\n")
        headers, event = read(stream)
        reply = json.dumps(handler(json.loads(event), None)).encode()
        api.sendall(b"POST " + base + headers[b"lambda-runtime-aws-request-id"] + b"/response HTTP/1.1\r\nHost: lambda\r\n"
                    b"Content-Type: application/json\r\nContent-Length: " + str(len(reply)).encode() + b"\r\n\r\n" + reply)
        read(stream)


try:
    main()
except KeyboardInterrupt:
    pass
