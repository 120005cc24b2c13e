"""The industrial platforms, played on this machine: an outsider to the subscriber.

What it is for: a four-day outage, a rotated key or a lost acknowledgement can be rehearsed in seconds, with real
sockets and really signed tokens, without a tenant on a real platform.
What it must never do: import anything from ``subscriber`` (a misreading would be written once and believed
twice), listen beyond loopback unless told to, or send a token that is not signed (but to a caller that asks
Cumulocity for one with ``signed: false``).

Reading order
    knobs       every assumption about a platform that can be turned: ``--knob EMU_NAME=VALUE``
    clock       the emulator's time: real, scaled, or standing still until advanced
    timekeeper  plays what is due, as time passes or in a leap
    faults      the seeded plan of what goes wrong
    journal     the state file; survives a stop and a kill
    ledger      messages and their deliveries: what was published, attempted, acknowledged
    identity    signing keys, their rotation, tokens
    mindsphere/ MindSphere: Message Broker, Token Manager, key servers, gateway, delivery
    cumulocity/ Cumulocity: tenants with their devices, Notification 2.0, real-time notifications
    pelion/     Pelion Device Management: callbacks, WebSockets, long polls, devices
    control     ``/_control/…``: what a rehearsal needs and no platform offers
    addressing  whose verb it is: ``platform/tenant``
    server      puts it all on one port
    verbs       ``python -m emulator``: the server and the control verbs

Each further platform is a sibling of ``mindsphere``. What is documented and what is assumed stands, row by row,
in docs/fidelity.md.
"""
