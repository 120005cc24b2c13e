"""Real-time notifications: Bayeux long polling, in CSV (SmartREST) and in JSON.

Follows seed 003, the "Real-time notification API", the pages on SmartREST 1.0, and what the vendor's own retired
clients send and expect; where these are silent or contradict each other a knob says what is assumed:
docs/fidelity.md, rows S….

SmartREST
    rows            comma separated values, both ways: pure
    jsonpath        the paths of templates: pure
    templates       rows into requests, JSON into rows: pure
    template_store  which X-Id has which templates
    proxy           the calls that rows stand for
    smartrest_api   ``/s``
Sessions
    channels        where which change is told, and who may hear it: pure
    advice          row 86: pure
    book            what was sent and what became of it: this part's book of the ledger
    sessions        who listens, what waits, what is not confirmed
    poll, polls     held connects, their spaces and ends
    publishing      from changes to sessions
    bayeux          the five verbs
Answers
    reply           an HTTP answer that may begin early
    connects        the long poll, and what goes wrong with it
    csv_dialect     rows 80 to 88
    json_dialect    the same in JSON, for clients that others wrote
    door            the endpoints
And
    rehearsal       a conversation of the seed world
    cockpit         control verbs
    realtime        all of it put together
"""
