"""Pelion Device Management, played: notification channels, subscriptions, device requests, devices.

Follows "Setting a notification channel" and the public API contract of April 2020. Where they are silent a knob
``EMU_PELION_…`` says what is assumed.

    errors        refusals in the platform's two shapes
    registry      accounts, applications, keys: who may call
    devices       devices and their resources
    tlv           how a whole object travels
    events        what each category of event looks like
    serialization what a channel may ask for, and the batches that follow
    channels      one per application: callback, WebSocket or long poll
    queue         every event and what became of it; the ledger's book
    feed          events into queues
    subscriptions who observes what; rules that subscribe
    commands      device requests and their results
    world         what follows from what devices do
    outbox        from queue to wire: batches, resends, pauses
    upkeep        what time does to channels, and how one ends
    patience      time limits on answers, whatever the pace of the clock
    certificates  the client certificate shown to https callbacks
    callback      the courier of callback channels
    handshake     what a WebSocket's opening must say
    connection    one client of a WebSocket channel
    sockets       WebSocket channels: pushing, pings, and every end
    polls         long-poll channels
    channel_api   /v2/notification/…
    device_api    subscriptions, device requests, the directory
    platform      puts it together
    cockpit       its control verbs
"""
