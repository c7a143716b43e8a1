"""A service that gunicorn multiplies, by WSGI and by ASGI; its metrics are mounted in it as well."""

import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import mmtrace
from mmtrace import metrics_app

if "CONFIGURE" in os.environ:
    mmtrace.configure(service="prefork")


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return metrics_app.wsgi(environ, start_response)
    with mmtrace.model_call("m"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]


async def call(request):
    with mmtrace.model_call("m"):
        return PlainTextResponse(str(os.getpid()))


asgi = Starlette(routes=[Mount("/metrics", metrics_app.asgi), Route("/", call)])
