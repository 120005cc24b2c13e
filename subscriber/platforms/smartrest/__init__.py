"""Cumulocity real-time notifications over SmartREST: Bayeux long polling, spoken as CSV.

Pure: no I/O, no clock, no randomness. Follows "SmartREST Real-time Notifications" and the SmartREST pages on the
protocol, on templates and on several X-Ids. In reading order:

- ``records``: CSV in and out, for any bytes;
- ``realtime``: what is asked for: channels of one X-Id, and what the values of its templates mean;
- ``messages``: the rows of the conversation itself, 80 to 84 out, 86 to 88 and errors in;
- ``transitions``: the conversation's states as a table, drawn in docs/smartrest-session.md;
- ``turns``, ``session``: requests out, answers in, what came of each; with ``templates`` (registering those that the
  platform lacks), ``subscriptions`` (which channels are still to be asked for), ``verdicts`` (what an answer means)
  and ``memory`` (what outlives the process);
- ``rows``: what a template's row means as a notification.

How to drive a session, by whoever owns the connection:

1. Make ``Session`` and ``Rows`` from what was kept of them last time (nothing: they start anew).
2. Ask ``request()``; wait ``wait_seconds``, and longer the more turns in a row had a ``failure``; send it. None: a
   request is still out, or the session is stopped (``restart`` begins anew) or closed.
3. Give every piece of the answer's body to ``receive`` as it comes; ``end`` when it is whole, ``broken`` when the
   connection broke or was silent for ``silence_seconds``, ``unreachable`` when the request never left.
4. Keep the turn's rows, through ``Rows.read``, together with ``Session.value`` and ``Rows.value``: in one
   transaction. Only then ask for the next request, for it tells the server to forget these rows.
5. A ``gap`` of ``session_lost`` lasts until a turn is ``covered``, one of ``answer_lost`` is that poll alone.
6. To stop, ``abandon`` a poll that is ``quiet`` and keep everything; to unregister, ``close`` and go on with step 2.

The platform's words and ours: X-Id → channel, kind of the Bayeux channel → topic, its device → source,
``realtimeAction`` where a template has it → action.
"""
