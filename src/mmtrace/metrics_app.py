"""The metrics for a server of your own, instead of a port of mmtrace's: applications to mount.

    from mmtrace import metrics_app

    app.mount("/metrics", metrics_app.asgi)                                 # Starlette, FastAPI
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": metrics_app.wsgi})   # Flask, with werkzeug

Both answer every path with text, or with OpenMetrics and its exemplars where the scraper asks for that. In a server of
several processes any of them gives the sums over all. They need `configure()`, with any of the metrics exporters `app`
(which exports nothing else), `prometheus`, and `otlp` with cumulative temporality; without it they answer 503.
"""

from typing import Final

from mmtrace._configure import metrics_source
from mmtrace.export.prometheus_page import asgi_app, wsgi_app

__all__ = ["asgi", "wsgi"]

asgi: Final = asgi_app(metrics_source)
"""The application by ASGI 3."""

wsgi: Final = wsgi_app(metrics_source)
"""The application by WSGI."""
