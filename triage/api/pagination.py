"""Pages of lists: a cursor, so that nothing is shown twice while new cases come in."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-id")
    page_size = 50
