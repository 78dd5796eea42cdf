"""ASGI entry: pages over HTTP, "something changed" over websockets."""

import asyncio
import gc
import os
from typing import Any

from a2wsgi import WSGIMiddleware
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
pages: Any = get_wsgi_application()

from triage import events  # noqa: E402  (needs the app registry)
from triage.routing import websocket_urlpatterns  # noqa: E402

# Pages are plain functions. Threads that stay keep their database connection; Django's own ASGI
# handler has a new thread for each request, and hands it over three times on the way.
THREADS = 8


async def http(scope: Any, receive: Any, send: Any) -> None:
    events.tell_on(asyncio.get_running_loop())
    # For WSGI a header's "_" is as good as its "-": none may pass for one that the proxy sets.
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    plain: Any = {**scope, "headers": headers}
    await threads(plain, receive, send)


# A page makes and drops many objects, and what is loaded by now stays for good: looked through at
# each 700th, as Python would, they cost every page time.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)

threads = WSGIMiddleware(pages, workers=THREADS)
application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
