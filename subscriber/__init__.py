"""One door for notifications of industrial IoT platforms.

Reading order: ``model`` (the values) → ``intake`` (authenticate, decode, store) → ``platforms.mindsphere`` (a
codec) → ``dispatcher`` (lease, run, settle) → ``handlers`` (the team's own functions and the routing table).
Around them: ``store`` keeps, ``web`` receives, ``registration`` subscribes whom ``provisioning`` says, ``services``
builds it all, ``cli`` is the command line.
"""
