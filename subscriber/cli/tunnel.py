"""`tunnel`: the address that leads to this service from the internet, and where it has to be entered."""

from __future__ import annotations

import click

from subscriber.cli.session import current
from subscriber.cli.terminal import Output, output_option

NEXT = (
    "Enter `address` in the cockpit as the component's direct URL: API application, self-hosted, with the endpoint "
    "shown here. The platform calls it through its gateway. It is never the `uri` of a subscription: that one names "
    "the gateway, and `register` builds it."
)


@click.command()
@output_option
def tunnel(out: Output) -> None:
    """Show the ngrok address of this service and what to enter in the cockpit.

    Asks the agent at NGROK_API_URL for the https address that leads to PORT.
    """
    from subscriber.platforms.mindsphere_api import ENDPOINT
    from subscriber.registration import webhook_uri
    from subscriber.tunnel import https_address

    settings = current().settings()
    address = https_address(settings.ngrok_api_url, settings.port)
    record = {
        "address": address,
        "port": settings.port,
        "endpoint": f"/{ENDPOINT}",
        "health": f"{address}/health/",
    }
    if settings.mindsphere is not None:
        record["subscription_uri"] = webhook_uri(settings.mindsphere, address)
        if "{public}" in settings.mindsphere.uri_template:
            out.warn(
                "MDSP_URI_TEMPLATE says {public}, but the platform's Message Broker takes gateway addresses only"
            )
    out.facts(record)
    out.say(NEXT)
