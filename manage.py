#!/usr/bin/env python
"""Django's command line; ./run and ./test are the two that people need."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
    from django.core.management import execute_from_command_line
    from django.db.utils import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except (DatabaseError, OSError) as error:
        if problem := nothing_to_work_with():
            sys.exit(f"{problem}\n({error})")
        raise


def nothing_to_work_with() -> str:
    """Why no command could have worked, and what to do; "" where it is none of this."""
    from django.conf import settings
    from django.db import DatabaseError, connection

    if not settings.DATA_DIR.is_dir():
        return (
            f"There is no data folder {settings.DATA_DIR}. Name the one that ./run works with "
            "(ALARM_DATA=FOLDER), or start ./run once, which makes it."
        )
    if sys.argv[1:2] == ["migrate"]:
        return ""
    try:
        connection.close()
        empty = "django_migrations" not in connection.introspection.table_names()
    except DatabaseError:
        return ""
    hint = "The database has no tables yet: manage.py migrate makes them, as ./run does."
    return hint if empty else ""


if __name__ == "__main__":
    main()
