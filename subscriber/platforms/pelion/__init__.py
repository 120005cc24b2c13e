"""Pelion Device Management: what its notification messages mean, and what is asked of it.

Pure: no I/O, no clock, no randomness. Follows the public API contract of Device Management (April 2020) and "Setting
a notification channel". A message is a JSON object of arrays, one for each category of facts, and says the same on a
callback and on a WebSocket. In reading order:

- ``splitting``: the exact bytes of each item in a message, without ever building the whole of it;
- ``items``: what one item says: whose it is, when, and by what it is known again;
- ``batches``: a message into notifications and dead letters;
- ``resends``: items without id and time: is this message the last one again?
- ``callback``: what has to be on every callback, so that it is believed;
- ``rules``: what is subscribed.

The platform's words and ours: application (its access key) → tenant and channel, category → topic, ``ep`` → source,
``timestamp`` → occurred_at.
"""
