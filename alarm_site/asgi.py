"""ASGI entry: pages over HTTP, "something changed" over websockets."""

import os
import warnings

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

# WhiteNoise serves its small files as synchronous iterators, which Django warns of each time.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
pages = get_asgi_application()

from triage.routing import websocket_urlpatterns  # noqa: E402  (needs the app registry)

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
