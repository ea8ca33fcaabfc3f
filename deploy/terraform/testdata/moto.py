"""moto's server with what it does otherwise than AWS put right, so that a second plan is clean:
SQS gives a redrive policy back as it was written. Usage: moto.py HOST PORT"""

import json
import sys

sys.path = [p for p in sys.path if p and not p.endswith("testdata")]  # this file is not the module it imports

from moto.server import main
from moto.sqs.models import Queue

attributes = Queue.attributes.fget


def compact(queue):
    result = attributes(queue)
    if result.get("RedrivePolicy"):
        result["RedrivePolicy"] = json.dumps(json.loads(result["RedrivePolicy"]), separators=(",", ":"))
    return result


Queue.attributes = property(compact)

main(["-H", sys.argv[1], "-p", sys.argv[2]])
