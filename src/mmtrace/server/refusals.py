"""What the server does not do, said in the form that the asker reads."""

import json
from typing import Final

from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mmtrace.errors import MMTraceError

RPC_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 500: 13, 503: 14}
"""The code of google.rpc that says the same as an HTTP status."""

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


class Refusal(MMTraceError):
    """A request that is not served; `status` is HTTP's."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def refuse(request: Request, refusal: Refusal) -> Response:
    """Return the answer: google.rpc.Status to senders of OTLP, Jaeger's form under /api, else text to read."""
    path, headers = request.url.path, refusal.headers
    if path.startswith("/v1/"):
        return _status(request, refusal)
    if path.startswith("/api/"):
        error = {"error": {"httpCode": refusal.status, "message": str(refusal)}}
        return Response(json.dumps(error), refusal.status, headers, JSON)
    return PlainTextResponse(f"{refusal.status}: {refusal}\n", refusal.status, headers)


def _status(request: Request, refusal: Refusal) -> Response:
    code, message = RPC_CODES.get(refusal.status, 2), str(refusal)
    if media_type(request) == PROTOBUF:
        body: bytes = Status(code=code, message=message).SerializeToString()
        return Response(body, refusal.status, refusal.headers, PROTOBUF)
    return Response(json.dumps({"code": code, "message": message}), refusal.status, refusal.headers, JSON)


def media_type(request: Request) -> str:
    """Return the content type of the body without its parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
