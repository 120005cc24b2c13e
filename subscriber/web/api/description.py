"""What the API says of itself in this installation: the documents for its settings."""

from __future__ import annotations

from typing import NamedTuple

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST
from subscriber.platforms.schemas import arriving
from subscriber.settings import MindSphereSettings, Settings
from subscriber.web.api import asyncapi, openapi
from subscriber.web.api.items import Json


class Documents(NamedTuple):
    openapi: Json
    asyncapi: Json


def documents(settings: Settings) -> Documents:
    """Made once, when the application is."""
    app, mindsphere = settings.app_name, settings.mindsphere
    topics = (*mindsphere.topics, mindsphere.provisioning_topic) if mindsphere else ()
    return Documents(
        openapi.document(app, _behind_gateway(mindsphere) if mindsphere else ""),
        asyncapi.document(app, arriving(_platforms(settings), topics)),
    )


def _platforms(settings: Settings) -> list[str]:
    """Those that notifications come from."""
    configured = {
        MINDSPHERE: settings.mindsphere,
        CUMULOCITY: settings.cumulocity,
        SMARTREST: settings.realtime,
        PELION: settings.pelion,
    }
    return [platform for platform, found in configured.items() if found]


def _behind_gateway(settings: MindSphereSettings) -> str:
    return f"{settings.gateway_url}/api/{settings.app}-{settings.host_tenant}/{settings.major}"
