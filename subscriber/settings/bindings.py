"""What Cloud Foundry has bound: VCAP_SERVICES, read without any I/O.

Cloud Foundry documentation, "Cloud Foundry Environment Variables", section VCAP_SERVICES: an object of lists by
label, each entry with name, tags and credentials. Labels carry a version or a vendor's name and credentials differ
from broker to broker, so a service is known by its tags or by the scheme of its address, never by its label.

No error text holds anything of the credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

import orjson

from subscriber.settings.parsers import AMQP_SCHEMES, POSTGRESQL_SCHEMES, amqp_address, database_address

HOSTS = ("host", "hostname")
USERS = ("username", "user")
ADDRESSES = ("uri", "url")
# Observed at brokers of several vendors; none of these names is a standard.
CERTIFICATES = ("sslrootcert", "cacrt", "cacert", "ca_cert", "ca_certificate")
PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of service that we can use."""

    name: str  # for people
    variable: str  # decides where bindings cannot
    tags: frozenset[str]
    schemes: tuple[str, str]  # of its addresses; one made of single fields gets the first with `ssl`, else the second
    resources: tuple[str, ...]  # fields that name the database or the virtual host
    check: Callable[[str], str]  # of an address; raises ValueError
    resource: str = ""  # without such a field
    parameters: tuple[str, ...] = ()  # fields that belong into the address as they are


POSTGRESQL = Kind(
    name="PostgreSQL",
    variable="DATABASE_URL",
    tags=frozenset({"postgresql", "postgres"}),
    schemes=POSTGRESQL_SCHEMES,
    resources=("dbname", "database", "name"),
    check=database_address,
    parameters=("sslmode",),
)
RABBITMQ = Kind(
    name="RabbitMQ",
    variable="AMQP_URL",
    tags=frozenset({"rabbitmq", "amqp"}),
    schemes=AMQP_SCHEMES,
    resources=("vhost",),
    check=amqp_address,
    resource="/",
)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One bound service."""

    name: str  # of the service's instance, as its owner chose it
    tags: frozenset[str]  # lower case
    credentials: Mapping[str, object] = field(repr=False)  # whatever the broker gave; secret

    def text(self, *names: str) -> str:
        """The first of these credentials that is set; numbers as text. Empty if there is none."""
        found = (self.credentials.get(name) for name in names)
        return next((str(value) for value in found if isinstance(value, str | int) and value not in ("", False)), "")


def parse(text: str) -> list[Binding]:
    """The bindings of a VCAP_SERVICES; an empty one has none. Raises ``ValueError`` if it is something else."""
    try:
        by_label = orjson.loads(text) if text.strip() else {}
        return [_binding(entry) for entries in by_label.values() for entry in entries]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        raise ValueError("is not an object of lists of bound services") from None


def _binding(entry: Mapping[str, object]) -> Binding:
    """Raises ``AttributeError`` and ``TypeError`` for anything that is no binding."""
    name = entry.get("name") or entry.get("instance_name") or entry.get("label") or "without a name"
    tags, credentials = entry.get("tags") or [], entry.get("credentials") or {}
    if not isinstance(tags, list) or not isinstance(credentials, dict):
        raise TypeError
    return Binding(name=str(name), tags=frozenset(str(tag).lower() for tag in tags), credentials=credentials)


def the_one(bindings: Sequence[Binding], kind: Kind) -> Binding | None:
    """The only bound service of that kind. Raises ``ValueError`` if several are bound: guessing would mix data."""
    found = [binding for binding in bindings if binding.tags & kind.tags or _own_address(binding, kind)]
    if len(found) > 1:
        names = ", ".join(sorted(binding.name for binding in found))
        raise ValueError(
            f"several {kind.name} services are bound ({names}): unbind all but one, or set {kind.variable} to the "
            "address of the right one"
        )
    return found[0] if found else None


def _own_address(binding: Binding, kind: Kind) -> str:
    """The address that the credentials hold ready, if it is one of that kind."""
    found = (binding.text(name) for name in ADDRESSES)
    return next((text for text in found if text.partition("://")[0] in kind.schemes), "")


def address(binding: Binding, kind: Kind) -> str:
    """Where the service answers, with user and password. Raises ``ValueError`` if the credentials do not tell."""
    try:
        return _completed(kind.check(_own_address(binding, kind) or _put_together(binding, kind)), binding, kind)
    except ValueError:
        raise ValueError(
            f"the credentials of the bound service {binding.name} hold neither a usable uri nor host, username and "
            f"password: set {kind.variable}"
        ) from None


def _put_together(binding: Binding, kind: Kind) -> str:
    """The address of single fields; empty if one that is needed is missing."""
    host, user, password = binding.text(*HOSTS), binding.text(*USERS), binding.text("password")
    resource = binding.text(*kind.resources) or kind.resource
    if not (host and user and password and resource):
        return ""
    scheme = kind.schemes[0] if binding.credentials.get("ssl") else kind.schemes[1]
    place, port = f"[{host}]" if ":" in host else host, binding.text("port")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"{scheme}://{login}@{place}{':' if port else ''}{port}/{quote(resource, safe='')}"


def _completed(address: str, binding: Binding, kind: Kind) -> str:
    """With the parameters that the credentials hold as fields and the address itself lacks."""
    found = {name: binding.text(name) for name in kind.parameters}
    return _with(address, {name: text for name, text in found.items() if text and not _says(address, name)})


def _says(address: str, parameter: str) -> bool:
    return any(text.startswith(f"{parameter}=") for text in urlsplit(address).query.split("&"))


def _with(address: str, parameters: Mapping[str, str]) -> str:
    joint = "&" if urlsplit(address).query else "?"
    return f"{address}{joint}{urlencode(parameters)}" if parameters else address


def certificates(binding: Binding) -> str:
    """The certificates (PEM) of the authority that signed the server's own; empty if the credentials hold none."""
    found = {name.lower(): value for name, value in binding.credentials.items() if isinstance(value, str)}
    return next((found[name] for name in CERTIFICATES if PEM in found.get(name, "")), "")


def verified(address: str, certificates_file: str) -> str:
    """A PostgreSQL address whose server has to prove itself by these certificates.

    How strictly is the binding's to say (``sslmode``); where it says nothing, its name has to be right too.
    """
    more = {"sslrootcert": certificates_file}
    if not _says(address, "sslmode"):
        more["sslmode"] = "verify-full"
    return _with(address, more)
