"""Reading a dead letter again, after the program has learnt to.

The body is decoded as it was received; what it holds for the letter's tenant is accepted like any delivery, so what
came in meanwhile by another way is a duplicate. The letter itself stays until it is pruned.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from subscriber.errors import NotReadable
from subscriber.model import DeadLetter, Delivery, Notification, Receipt
from subscriber.platforms import PLATFORMS
from subscriber.store import Inbox


def refusal(letter: DeadLetter) -> str:
    """Why nothing more can be made of it, whatever the program has learnt; empty if it can be tried."""
    if letter.body is None:
        return "this letter has no body: policy refused the delivery unread"
    if letter.tenant.platform not in PLATFORMS:
        return f"deliveries of {letter.tenant.platform} cannot be read again one by one"
    return ""


def read_again(letter: DeadLetter, trusted: Collection[str]) -> Sequence[Notification]:
    """What the codec makes of the body now, for those whom its sender might write to.

    ``trusted``: names of tenants that deliver for others. Raises ``NotReadable`` where there is a ``refusal``,
    ``MalformedDelivery`` if it is still not readable.
    """
    why = refusal(letter)
    if letter.body is None or why:
        raise NotReadable(why)
    tenant = letter.tenant
    delivery = Delivery(platform=tenant.platform, headers={}, body=letter.body, received_at=letter.buried_at)
    # Filed under a trusted sender: it could not be seen then for whom it was.
    found = PLATFORMS[tenant.platform].decode(delivery)
    return [one for one in found if one.tenant == tenant or tenant.name in trusted]


def accept_again(inbox: Inbox, letter: DeadLetter, trusted: Collection[str]) -> list[Receipt]:
    """Accept what is in it now. Raises as ``read_again``, and what ``Inbox.add`` raises."""
    return inbox.add(read_again(letter, trusted))
