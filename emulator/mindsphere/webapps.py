"""Applications as people reach them: signed in by the gateway, which adds their token to every request.

The real platform has a host name for each, ``{tenant}-{webapp}-{provider}.{region}…``; here it is the first part of
the path, ``/{tenant}-{app}-{host}/…`` (also under ``/gateway``), and it is stripped. Who is not signed in is sent to
the login page, which offers the tenant's demo people instead of asking for a password. A session is the cookie
``SESSION``, and beside it a script finds ``XSRF-TOKEN``, to be sent back as ``X-XSRF-TOKEN`` with changes: both
names are those that a client in the field uses. An application gets the person's token as ``Authorization`` and none
of the cookies. That changes are refused without the header is assumed, and only done when a knob says so.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qs, quote

from aiohttp import hdrs, web

from emulator.knobs import Panel
from emulator.mindsphere.errors import PlatformError, guarded, read_body
from emulator.mindsphere.gateway import Gateway, Route, passed_on
from emulator.mindsphere.people import Person, Session, Sessions, people_of
from emulator.mindsphere.registry import Application, Registry

SESSION_COOKIE, XSRF_COOKIE, XSRF_HEADER = "SESSION", "XSRF-TOKEN", "X-XSRF-TOKEN"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NAMES = "{tenant:[a-z][a-z0-9]*}-{app:[a-z][a-z0-9]*}-{host:[a-z][a-z0-9]*}"
START = "console/"  # where a signed-in person begins
FORM_LIMIT = 16_384
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }}
button, a.way {{ display: block; width: 100%; box-sizing: border-box; margin: .5rem 0; padding: .75rem 1rem;
  font: inherit; text-align: left; border: 1px solid; border-radius: .4rem; background: none; color: inherit }}
</style></head><body><main><h1>{title}</h1>{content}</main></body></html>
"""


class WebApplications:
    """Login pages and signed-in requests."""

    def __init__(self, registry: Registry, sessions: Sessions, gateway: Gateway, panel: Panel) -> None:
        self._registry = registry
        self._sessions = sessions
        self._gateway = gateway
        self._panel = panel

    def routes(self) -> list[web.RouteDef]:
        found = []
        for base in ("", "/gateway"):
            found += [
                web.get(f"{base}/login", guarded(self.overview)),
                web.get(f"{base}/{NAMES}/login", guarded(self.login_page)),
                web.post(f"{base}/{NAMES}/login", guarded(self.sign_in)),
                web.post(f"{base}/{NAMES}/logout", guarded(self.sign_out)),
                web.route("*", f"{base}/{NAMES}/{{rest:.*}}", guarded(self.forward)),
            ]
        return found

    # pages

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """Every application of every tenant that has it."""
        ways = []
        for application in self._newest():
            for tenant in (application.host, *self._registry.user_tenants(application)):
                address = f"{tenant}-{application.name}-{application.host}/{START}"
                ways.append(f'<a class="way" href="{escape(address)}">{escape(application.name)} for {tenant}</a>')
        return _page("Applications", "".join(ways))

    async def login_page(self, request: web.Request) -> web.StreamResponse:
        self._application(request)
        following = escape(_local(request.query.get("next", START)))
        people = (_choice(person, following) for person in people_of(request.match_info["tenant"]))
        return _page(f"Sign in to {request.match_info['tenant']}", "".join(people))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        application = self._application(request)
        form = parse_qs((await read_body(request, FORM_LIMIT)).decode("utf-8", "replace"))
        wanted = form.get("person", [""])[0]
        person = next((one for one in people_of(request.match_info["tenant"]) if one.role == wanted), None)
        if person is None:
            raise PlatformError("unauthorized", "there is no such person")
        id, session = self._sessions.open(person, application)
        answer = web.Response(status=303, headers={hdrs.LOCATION: _local(form.get("next", [START])[0])})
        path = _home(request)
        answer.set_cookie(SESSION_COOKIE, id, path=path, httponly=True, samesite="Lax")
        answer.set_cookie(XSRF_COOKIE, session.xsrf, path=path, samesite="Lax")
        return answer

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        self._sessions.close(request.cookies.get(SESSION_COOKIE, ""))
        answer = web.Response(status=303, headers={hdrs.LOCATION: "login"})
        for name in (SESSION_COOKIE, XSRF_COOKIE):
            answer.del_cookie(name, path=_home(request))
        return answer

    # signed-in requests

    async def forward(self, request: web.Request) -> web.StreamResponse:
        application = self._application(request)
        session = self._session(request, application)
        if session is None:
            return _to_login(request)
        self._check_xsrf(request, session)
        self._gateway.require_scope(session.person.scopes(application), application)
        headers = {
            name: value
            for name, value in passed_on(request).items()
            if name.lower() not in ("cookie", "authorization")
        }
        headers[hdrs.AUTHORIZATION] = f"Bearer {self._sessions.token(session)}"
        path = request.rel_url.raw_path_qs.removeprefix(_home(request).rstrip("/"))
        return await self._gateway.pass_on(request, Route(application, path), headers)

    def _session(self, request: web.Request, application: Application) -> Session | None:
        """Of this tenant and this application; one of another is none here."""
        session = self._sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        if session is None or session.person.tenant != request.match_info["tenant"]:
            return None
        return session if session.application.client_id == application.client_id else None

    def _check_xsrf(self, request: web.Request, session: Session) -> None:
        if request.method in SAFE:
            return
        sent = request.headers.get(XSRF_HEADER)
        missing = sent is None and self._panel.now.gw_xsrf == "required"
        if missing or (sent is not None and not hmac.compare_digest(sent.encode(), session.xsrf.encode())):
            raise PlatformError("forbidden", f"{XSRF_HEADER} is not the session's")

    def _newest(self) -> Iterable[Application]:
        """The latest version of each application."""
        return {(one.name, one.host): one for one in self._registry.applications()}.values()

    def _application(self, request: web.Request) -> Application:
        """The one in the path, if this tenant has it."""
        names = request.match_info
        for application in self._newest():
            if (application.name, application.host) == (names["app"], names["host"]):
                if self._registry.may_act_for(application, names["tenant"]):
                    return application
        raise PlatformError("noMatch", "no application is registered there")


def _home(request: web.Request) -> str:
    """The path that stands for the application's own host."""
    names = request.match_info
    base = "/gateway" if request.path.startswith("/gateway/") else ""
    return f"{base}/{names['tenant']}-{names['app']}-{names['host']}/"


def _to_login(request: web.Request) -> web.Response:
    """People are asked who they are; programs are told that they are nobody."""
    if request.method not in SAFE or "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        raise PlatformError("unauthorized", "nobody is signed in")
    following = request.rel_url.raw_path_qs.removeprefix(_home(request))
    return web.Response(
        status=302, headers={hdrs.LOCATION: f"{_home(request)}login?next={quote(following, safe='')}"}
    )


def _local(address: str) -> str:
    """A place of this application, relative to its home; anything else is its start."""
    outside = address.startswith(("/", "\\")) or ":" in address.partition("/")[0] or not address.isprintable()
    return START if outside else address or START


def _choice(person: Person, following: str) -> str:
    return (
        f'<form method="post" action="login"><input type="hidden" name="next" value="{following}">'
        f'<button name="person" value="{person.role}">{escape(person.name)}</button></form>'
    )


def _page(title: str, content: str) -> web.Response:
    return web.Response(text=PAGE.format(title=escape(title), content=content), content_type="text/html")
