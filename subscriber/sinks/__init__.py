"""Ready-made ways to hand notifications on.

A sink stands in two places: configured (``FORWARD_URL``, ``AMQP_URL``) it gets every routed notification beside its
handler; as a route's handler it gets that route's. It never changes a payload: the receiver gets the very bytes we
got, inside a CloudEvent (event.py), by HTTP (forwarding.py) or through RabbitMQ (publishing.py).
"""

from __future__ import annotations

from subscriber.sinks.forwarding import Forward, forward
from subscriber.sinks.publishing import Publish, publish

__all__ = ["Forward", "Publish", "forward", "publish"]
