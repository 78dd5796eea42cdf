#!/usr/bin/env python
"""Django's command line; ./run and ./test are the two that people need."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, OSError):
        from django.conf import settings

        if settings.DATA_DIR.is_dir():
            raise
        sys.exit(
            f"There is no data folder {settings.DATA_DIR}. Name the one that ./run works with "
            "(ALARM_DATA=FOLDER), or start ./run once, which makes it."
        )


if __name__ == "__main__":
    main()
