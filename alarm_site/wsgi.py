"""WSGI entry, for servers without websockets; pages then refresh by themselves more slowly."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
application = get_wsgi_application()
