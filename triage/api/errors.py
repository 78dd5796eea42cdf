"""Errors of the API: always {"code", "detail"}, and the detail says what to do."""

from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from triage.errors import Invalid, TooMany, TriageError


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER."""
    if isinstance(error, TriageError):
        headers = {"Retry-After": str(error.wait)} if isinstance(error, TooMany) else None
        faults = {"faults": error.faults} if isinstance(error, Invalid) else {}
        said = {"code": error.code, "detail": str(error)} | faults
        return Response(said, status=error.status, headers=headers)
    response = exception_handler(error, context)
    if response is not None and isinstance(error, APIException) and "code" not in response.data:
        codes = error.get_codes()
        response.data = {
            "code": codes if isinstance(codes, str) else "invalid",
            "detail": response.data.get("detail", response.data),
        }
    return response
