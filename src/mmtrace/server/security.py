"""Who may talk to the server: by the name it was asked under, by token, and not from another site's page.

A web page can make its own name point at 127.0.0.1 and read what answers there (DNS rebinding); the Host header then
still holds that name. And it can send a form to any address; the browser then says so in Origin and Sec-Fetch-Site.
"""

import hmac
import html
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmtrace.server.refusals import Refusal, refuse

_COOKIE: Final = "mmtrace_token"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Security:
    """What is asked of a request: `hosts` are names beside the loopback ones, `token` None asks for none."""

    hosts: frozenset[str] = frozenset()
    token: str | None = None

    @classmethod
    def of(cls, hosts: Iterable[str] = (), token: str | None = None) -> "Security":
        """Return what is asked where these names, in any case, with or without a port, are served as well."""
        return cls(frozenset(_host_name(host) for host in hosts), token)

    def check(self, request: Request) -> None:
        """Raise Refusal where `request` is not to be served."""
        self._check_host(request)
        _check_origin(request)
        if self.token and not any(
            hmac.compare_digest(given.encode(), self.token.encode()) for given in _given(request)
        ):
            raise Refusal(
                401,
                "the token is missing or wrong; open the address that mmtrace serve printed,"
                " or send the header `Authorization: Bearer TOKEN`",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_host(self, request: Request) -> None:
        names = request.headers.getlist("host") or [""]
        served = {(request.scope.get("server") or ("",))[0], *self.hosts}
        for name in map(_host_name, names):
            if name not in served and not is_loopback(name):
                raise Refusal(
                    403, f"this server is not known as {name[:100]!r}; start it with --allow-host to allow that"
                )


def is_loopback(name: str) -> bool:
    """Whether a host name or address, without a port, is this machine's own."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """Return the name in a Host header without port, brackets or case."""
    name = host.strip().lower().rstrip(".")
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0] if name.count(":") == 1 else name


def _check_origin(request: Request) -> None:
    """Refuse what another site's page sends; browsers let it, only the answer is kept from the page."""
    if request.method in _READS:
        return
    origin = request.headers.get("origin")
    foreign = origin is not None and URL(origin).netloc.lower() != request.headers.get("host", "").lower()
    if foreign or request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Refusal(403, "a page of another site may not send anything here")


def _given(request: Request) -> list[str]:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = [credentials.strip()] if scheme.lower() == "bearer" else []
    given += request.query_params.getlist("token")
    return [*given, request.cookies.get(_COOKIE, "")]


class Guard:
    """The middleware that asks `security` before anything else runs."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._answer(request)
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """Return what is answered in place of the application, None where that is to answer."""
        try:
            self._security.check(request)
        except Refusal as refusal:
            return refuse(request, refusal)
        if self._security.token and request.method == "GET" and "token" in request.query_params:
            return _keep_token(request, self._security.token)
        return None


def _keep_token(request: Request, token: str) -> Response:
    """Keep the token in a cookie, and open the same address without it.

    Not by a redirect: a browser that came from another site would not send a strict cookie along.
    """
    url = request.url.remove_query_params("token")
    target = url.path + (f"?{url.query}" if url.query else "")
    page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={html.escape(target)}">'
    response = HTMLResponse(page, headers={"Cache-Control": "no-store"})
    response.set_cookie(_COOKIE, token, httponly=True, samesite="strict", path="/")
    return response


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            message["headers"] = given + [header for header in _HEADERS if header[0] not in names]
        await send(message)

    return send_with_headers
