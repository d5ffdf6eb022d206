"""The HTTP side of the fake Claude (fake_claude.py): routes, checks of what arrives, scripted faults."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_claude import Batch, FakeClaude

CUT_BEFORE, CUT_AFTER, CUT_MIDDLE, MISSING = "cut before", "cut after", "cut middle", "missing"

Fault = int | str
_ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_ERRORS |= {413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
_REFUSED_KEYWORDS = {"minimum", "maximum", "maxItems", "minLength", "maxLength", "pattern", "multipleOf"}


def serve(fake: "FakeClaude") -> ThreadingHTTPServer:
    """Starts answering for `fake` on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or cut off is what these tests are about: nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    fake: "FakeClaude"
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET", None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if len(raw) > self.fake.max_body:
            return self._error(413, "request exceeds the maximum size")
        return self._serve("POST", json.loads(raw or b"{}"))

    def _serve(self, method: str, body: Any) -> None:
        path, _, query = self.path.partition("?")
        found = re.fullmatch(r"(/v1/messages/batches)/(?!$)(\w+)(/results|/cancel)?", path)
        route = f"{method} {found[1]}/ID{found[3] or ''}" if found else f"{method} {path}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.fake.note(route, body, headers)
        sent = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not sent or "anthropic-version" not in headers or self.fake.key not in (None, sent):
            return self._error(401, "invalid x-api-key")
        if isinstance(fault, int):
            return self._error(fault, "scripted")
        if fault == CUT_BEFORE:
            return self._cut()
        if found and found[2] not in self.fake.batches:
            return self._error(404, f"no batch {found[2]}")
        reply = self._act(route, body, query, self.fake.batches[found[2]] if found else None, fault)
        return self._cut() if fault == CUT_AFTER else reply()

    def _act(self, route: str, body: Any, query: str, batch: "Batch | None", fault: Fault | None) -> Callable[[], None]:
        """Does what the route does; the reply is sent by calling the result."""
        fake = self.fake
        if route == "POST /v1/messages":
            return self._message(body)
        if route == "POST /v1/messages/count_tokens":
            return lambda: self._json({"input_tokens": len(json.dumps(body)) // 3})
        if route == "POST /v1/messages/batches":
            wrong = _wrong_batch(body)
            view = None if wrong else fake.view(fake.create(body))
            return lambda: self._error(400, wrong) if wrong else self._json(view)
        if route == "GET /v1/messages/batches":
            return lambda: self._json(_page(fake, query))
        if batch is None:
            return lambda: self._error(404, f"no route {route}")
        if route.endswith("/results"):
            lines = [json.dumps(line).encode() + b"\n" for line in batch.lines or []]
            return lambda: self._send(200, b"".join(lines[:-1] if fault == MISSING else lines), cut=fault == CUT_MIDDLE)
        if route.endswith("/cancel"):
            canceled = [{"custom_id": one["custom_id"], "result": {"type": "canceled"}} for one in batch.requests]
            batch.lines = canceled if batch.lines is None else batch.lines
        batch.polls += 1
        return lambda: self._json(fake.view(batch))

    def _message(self, body: Any) -> Callable[[], None]:
        with self.fake.lock:
            self.fake.inside += 1
            self.fake.peak = max(self.fake.peak, self.fake.inside)
        time.sleep(self.fake.delay)
        outcome, detail = self.fake.messages(body, in_batch=False)
        with self.fake.lock:
            self.fake.inside -= 1
        return lambda: self._json(detail) if outcome == "succeeded" else self._error(400, detail)

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode())

    def _error(self, status: int, message: str) -> None:
        error = {"type": _ERRORS.get(status, "api_error"), "message": message}
        self._send(status, json.dumps({"type": "error", "error": error, "request_id": "req_0"}).encode())

    def _send(self, status: int, body: bytes, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if status in (429, 500, 529):
            self.send_header("retry-after", "0.05")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def wrong_message(body: dict[str, Any]) -> str:
    """Why the API would refuse a Messages request, else ""."""
    if not {"model", "max_tokens", "messages"} <= set(body):
        return "model, max_tokens and messages are required"
    return _wrong_schema(body.get("output_config", {}).get("format", {}).get("schema", {}))


def _wrong_schema(schema: Any) -> str:
    """Structured output refuses bounds on numbers, texts and arrays, and objects that may have other properties."""
    if not isinstance(schema, dict):
        return ""
    bad = sorted(_REFUSED_KEYWORDS & set(schema))
    if bad or schema.get("minItems", 0) > 1:
        return f"output_config.format.schema: {', '.join(bad) or 'minItems'} not supported"
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "output_config.format.schema: additionalProperties must be false"
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    return next(filter(None, map(_wrong_schema, inner)), "")


def _wrong_batch(body: dict[str, Any]) -> str:
    ids = [request["custom_id"] for request in body["requests"]]
    if not ids or len(ids) > 100_000:
        return "a batch has 1 to 100,000 requests"
    if len(set(ids)) != len(ids):
        return "custom_id must be unique in a batch"
    good = all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    return "" if good else "custom_id must be 1 to 64 letters, digits, hyphens and underscores"


def _page(fake: "FakeClaude", query: str) -> dict[str, Any]:
    """Newest first, `page` at a time after the id in the query."""
    newest = list(reversed(fake.batches))
    after = re.search(r"after_id=(\w+)", query)
    first = newest.index(after[1]) + 1 if after else 0
    ids = newest[first : first + fake.page]
    for one in ids:
        fake.batches[one].polls += 1
    data = [fake.view(fake.batches[one]) for one in ids]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"data": data, "has_more": first + fake.page < len(newest), **ends}
