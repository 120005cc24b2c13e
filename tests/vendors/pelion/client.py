"""The vendor's SDK as a process: a line in is a command, ``[action, …]``, a line out ``{"value"}`` or ``{"error"}``.

Only the installed ``mbed_cloud`` acts here; this file names its methods and turns what they return into JSON.
"""

import json
import os
import queue
import sys
import warnings

warnings.simplefilter("ignore")  # the SDK is of 2019

from mbed_cloud import ConnectAPI  # noqa: E402
from mbed_cloud.exceptions import CloudApiException, CloudAsyncError, CloudTimeoutError  # noqa: E402

PATIENCE_S = 10

apis: dict = {}
boxes: dict = {}


def plain(value):
    """JSON for what the SDK returns: models as objects, bytes as text."""
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, dict):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def open_api(name, host, key, polling):
    settings = {"host": host, "api_key": key, "autostart_notification_thread": polling}
    apis[name] = ConnectAPI(settings)
    if polling:
        apis[name].start_notifications()


def connect(name, method, *arguments, **options):
    return plain(getattr(apis[name], method)(*arguments, **options))


def subscribe(name, box, device, path):
    """Values of a resource into a box."""
    boxes[box] = queue.Queue()
    apis[name].add_resource_subscription_async(device, path, lambda *seen: boxes[box].put(seen))


def observe(name, box, channel, options):
    """An observer of the SDK's newer kind into a box."""
    boxes[box] = queue.Queue()
    api = apis[name]
    api.subscribe(getattr(api.subscribe.channels, channel)(**options)).add_callback(boxes[box].put)


def take(box, count):
    return plain([boxes[box].get(timeout=PATIENCE_S) for _ in range(count)])


ACTIONS = {
    "open": open_api,
    "connect": connect,
    "connected": lambda name: [device.id for device in apis[name].list_connected_devices()],
    "resources": lambda name, device: [entry.path for entry in apis[name].list_resources(device)],
    "presubscriptions": lambda name: [plain(rule) for rule in apis[name].list_presubscriptions()],
    "subscribe": subscribe,
    "observe": observe,
    "take": take,
}


def answer(line):
    action, *parts = json.loads(line)
    try:
        return {"value": ACTIONS[action](*parts)}
    except CloudApiException as error:
        return {"error": f"status {error.status}"}
    except (CloudAsyncError, CloudTimeoutError, queue.Empty) as error:
        return {"error": f"{type(error).__name__} {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(line)), flush=True)
    os._exit(0)  # its threads may be waiting for a poll
