"""Cumulocity, played: tenants with their devices, Notification 2.0, real-time notifications.

Follows the core OpenAPI specification, "Notifications 2.0" (overview and consumer protocol) and "Microservice SDK";
where they are silent or differ a knob says what is assumed: docs/fidelity.md, rows N2-… and S….

What every way of being notified builds on
    errors           the platform's error body and media types
    directory        tenants, users, the application with its bootstrap and service users
    access           Basic credentials in, callers out; roles
    documents        objects as JSON, by tenant and kind
    paging           collections in pages
    changes          what happened, told to whoever listens
    inventory        managed objects and their children
    open_alarms      which alarms are not cleared
    records          alarms, events, measurements, operations
    inventory_api, records_api, application_api    their HTTP
    composer         what devices of a rehearsal report
Notification 2.0
    filters          what a subscription lets through: pure
    rules            subscriptions: what is copied into which topic
    forwarding       from changes to topics
    tokens           for one topic and one consumer
    frames           the lines of a frame, acknowledgement ids: pure
    backlog          messages and deliveries: this platform's book of the ledger
    consumers        who gets which message: exclusive, shared, sticky
    topics           topics and consumers by name
    messaging        messages in, deliveries out: quota, time to live
    endpoint         the consumer's WebSocket
    members, subscriptions_api, tokens_api         REST: subscriptions, tokens, unsubscribing
Real-time notifications
    realtime/        long polling, in SmartREST and in JSON
And
    cockpit          control verbs
    platform         all of it put together
"""
