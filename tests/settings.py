"""The product's settings for tests: data in a folder of their own, nothing left of the caller's.

DATABASE_URL and REDIS_URL are honoured (tests/services.py sets them); without them the tests run on
SQLite in memory, and messages and channels stay in the process.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

FOREIGN = ("HOST", "PORT", "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "TZ")

for name in list(os.environ):
    if name.startswith("ALARM_") or name in FOREIGN:
        del os.environ[name]
folder = tempfile.mkdtemp(prefix="alarm-tests-")
Path(folder, "static").mkdir()
atexit.register(shutil.rmtree, folder, ignore_errors=True)
messages_stay_here = "REDIS_URL" not in os.environ
if messages_stay_here:
    os.environ["REDIS_URL"] = "memory://localhost"
# Whoever a test signs in has no second factor; those that are about it ask for one.
os.environ.update(
    ALARM_DATA=folder,
    ALARM_DEMO="0",
    ALARM_GOLD_SHARE="0",
    ALARM_SECOND_FACTOR="0",
    SECRET_KEY="of-tests-" * 8,
)

from alarm_site.settings import *  # noqa: E402, F403

if messages_stay_here:
    del os.environ["REDIS_URL"]  # no program that a test starts may take it over

# Hashing as slow as it should be would be most of the time that tests take.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Made from the models, which takes a twentieth of the time; tests/site/test_migrations.py holds the
# migrations to the same tables.
DATABASES["default"]["TEST"] = {"MIGRATE": False}  # noqa: F405
