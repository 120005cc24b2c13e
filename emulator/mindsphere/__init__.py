"""MindSphere, played: Message Broker, Token Manager, key servers, gateway, delivery.

Follows the public pages "Receiving MindSphere Notifications", the Message Broker and Token Management Service
samples, and the Asset and Event Management Async API samples. Where they are silent a knob says what is assumed.

    errors        the platform's error envelope
    addresses     the emulator's own addresses: gateway, issuers
    registry      tenants, applications, credentials, provisioning: what the cockpits keep
    access        bearer tokens in, callers out; the tokens the platform mints
    piam          key servers and service credentials
    tokenmanager  application credentials in, tokens out; the list of user tenants
    subscriptions who wants which topic where
    topics        topic names and what their messages look like
    publisher     publishing, windows, provisioning notices
    broker        the Message Broker's API
    gateway       the only way to an application
    lines         the broker's own kept connections through it
    people        the tenants' people, their sessions and tokens
    webapps       applications as people reach them: login, and the token added
    schedule      when to try again: pure arithmetic
    delivery      the courier: attempts until 2xx or four days
"""
