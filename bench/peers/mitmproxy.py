"""Posts each flow of mitmproxy as a JSON line, in batches, from a thread of its own."""

import http.client
import json
import os
import queue
import threading

waiting = queue.Queue(maxsize=100_000)


def post():
    connection = http.client.HTTPConnection(os.environ["SINK"], timeout=10)
    while True:
        lines = [waiting.get()]
        while len(lines) < 100:
            try:
                lines.append(waiting.get(timeout=0.05))
            except queue.Empty:
                break
        body = "".join(lines).encode()
        for _ in range(5):
            try:
                connection.request("POST", "/in", body, {"Content-Type": "application/x-ndjson"})
                answer = connection.getresponse()
                answer.read()
                if answer.status < 300:
                    break
            except (OSError, http.client.HTTPException):
                connection.close()


def running():
    threading.Thread(target=post, daemon=True).start()


def response(flow):
    record = {
        "time": flow.request.timestamp_start,
        "method": flow.request.method,
        "path": flow.request.path,
        "status": flow.response.status_code,
        "request_headers": dict(flow.request.headers.items()),
        "body": flow.request.get_text(strict=False),
        "response_headers": dict(flow.response.headers.items()),
        "response": flow.response.get_text(strict=False),
    }
    waiting.put(json.dumps(record) + "\n")
