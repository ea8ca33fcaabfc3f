"""A function that passes calls on, as one writes it in Python with urllib3: the yardstick.

MODE says which: "pool" keeps one pool of connections, "new" makes one for every call as
older functions did, "sqs" keeps one and also sends a record to SQS, "none" passes nothing on.
"""
import base64
import json
import os
from urllib.parse import urlencode

MODE = os.environ.get("MODE", "pool")
BACKEND = os.environ.get("BACKEND", "")

if MODE != "none":
    import urllib3
    POOL = urllib3.PoolManager()
if MODE == "sqs":
    import boto3
    SQS = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL_SQS"], region_name=os.environ["AWS_REGION"])
    QUEUE = os.environ["QUEUE_URL"]


def handler(event, _context):
    if MODE == "none":
        return {"statusCode": 200, "body": event["body"]}
    url = BACKEND + event["path"]
    query = event.get("multiValueQueryStringParameters")
    if query:
        url += "?" + urlencode(query, doseq=True)
    headers = {name: ", ".join(values) for name, values in (event.get("multiValueHeaders") or {}).items() if name.lower() != "host"}
    body = event.get("body")
    if body is not None:
        body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    pool = urllib3.PoolManager() if MODE == "new" else POOL
    response = pool.request(event["httpMethod"], url, headers=headers, body=body, timeout=11, retries=False, redirect=False)
    encoded = False
    try:
        text = response.data.decode()
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(response.data).decode(), True
    if MODE == "sqs":
        record(event, headers, body, response, text)
    return {"statusCode": response.status, "headers": dict(response.headers), "body": text, "isBase64Encoded": encoded}


def record(event, headers, body, response, text):
    """Sends what the original system sent: eight fields, nothing redacted, bodies as JSON where they are."""
    SQS.send_message(QueueUrl=QUEUE, MessageBody=json.dumps({
        "from": event["requestContext"]["domainName"], "endpoint": event["path"], "method": event["httpMethod"],
        "body": parsed(body), "request_headers": headers,
        "response": parsed(text), "response_headers": dict(response.headers), "status": response.status,
    }))


def parsed(text):
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text if text is None or isinstance(text, str) else base64.b64encode(text).decode()
