"""Running numbers of the store as pages show them: sealed, as in the tenant API.

All tenants share those numbers, so two of them would tell one tenant how much came for the others in between. A
place holds for one list and for whoever sees the same tenants.
"""

from __future__ import annotations

from subscriber.errors import InvalidCursor
from subscriber.web.api.places import Order, Seal
from subscriber.web.console.sight import Sight

INBOX, LETTERS, LETTER, TAIL = "inbox", "letters", "letter", "tail"  # what a place may be in


class Places:
    """``secret``: any that all processes of the installation share."""

    def __init__(self, secret: str) -> None:
        self._seal = Seal(secret)

    def shown(self, number: int | str, of: str, sight: Sight) -> str:
        """A number of the store, or a cursor, as text for an address."""
        return self._seal.sealed(str(number), Order.NEWEST, _whose(of, sight))

    def cursor(self, place: str, of: str, sight: Sight) -> str:
        """What was shown. Raises ``InvalidCursor`` for anything else."""
        return self._seal.opened(place, Order.NEWEST, _whose(of, sight))

    def number(self, place: str | None, of: str, sight: Sight) -> int | None:
        """The same for a number; None where there is no place."""
        if place is None:
            return None
        try:
            return int(self.cursor(place, of, sight))
        except ValueError as error:
            raise InvalidCursor("this is no place in this list") from error


def _whose(of: str, sight: Sight) -> str:
    own = sight.operator.tenants
    return f"console {of} {'everybody' if own is None else ' '.join(map(str, own))}"
