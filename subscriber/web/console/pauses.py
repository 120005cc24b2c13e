"""Stopping and resuming the handling of a tenant, a platform or a topic. Accepting goes on meanwhile."""

from __future__ import annotations

from flask import Blueprint, Response

from subscriber.model import Tenant
from subscriber.web.console.desk import Desk
from subscriber.web.console.orders import PLATFORMS, BadForm, Form
from subscriber.web.console.sight import Sight

KINDS = ("tenant", "platform", "topic")
TOPIC_CHARS = 255  # the longest a platform allows (settings.mindsphere)


def add(console: Blueprint, desk: Desk) -> None:
    def show() -> Response:
        sight = desk.sight()
        return desk.pages.show("pauses", sight, pauses=sight.pauses(), kinds=KINDS if sight.everybody else KINDS[:1])

    def pause() -> Response:
        sight, form = desk.order()
        kind, name = named(form, sight)
        changed = desk.store.registry.pause(kind, name)
        sight.note("pause", f"{kind} {name}")
        told = "Handling is paused" if changed else "Handling was paused before"
        return desk.pages.show("done", sight, text=f"{told}: {kind} {name}.", back="pauses")

    def resume() -> Response:
        sight, form = desk.order()
        kind, name = named(form, sight)
        changed = desk.store.registry.resume(kind, name)
        sight.note("resume", f"{kind} {name}")
        told = "Handling goes on" if changed else "Nothing to do, it was not paused"
        return desk.pages.show("done", sight, text=f"{told}: {kind} {name}.", back="pauses")

    console.add_url_rule("/pauses", "pauses", show)
    console.add_url_rule("/pauses/pause", "pause", pause, methods=["POST"])
    console.add_url_rule("/pauses/resume", "resume", resume, methods=["POST"])


def named(form: Form, sight: Sight) -> tuple[str, str]:
    """What a form is about, as pauses are kept. A tenant has to be in sight; the rest is for the host's operators."""
    kind, name = form.required("kind"), form.required("name").strip()
    if kind not in KINDS:
        raise BadForm(f"kind is one of {', '.join(KINDS)}")
    if kind == "tenant":
        return kind, str(sight.require(Tenant.parse(name)))
    sight.require_everybody()
    if kind == "platform" and name not in PLATFORMS:
        raise BadForm(f"there is no platform {name}; there is {', '.join(PLATFORMS)}")
    if len(name) > TOPIC_CHARS or not name.isprintable():
        raise BadForm("this can be no topic")
    return kind, name
