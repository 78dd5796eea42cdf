from django.urls import path

from triage.consumers import ChangesConsumer

websocket_urlpatterns = [path("ws/", ChangesConsumer.as_asgi())]
