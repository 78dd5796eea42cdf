"""Imported before what needs Django's settings: for benchmarks that start the product as a user
does, in processes of its own, and ask it from outside."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
django.setup()
