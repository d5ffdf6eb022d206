"""A local server that speaks the Messages and Message Batches endpoints over real HTTP and fails as told.

    with FakeClaude(lambda params: '{"forget": true}') as fake:
        fake.script("POST /v1/messages", 529, CUT_AFTER)   # the next two such calls; those after them succeed
        ... base_url=fake.url, any API key ...
        fake.calls, fake.batches, fake.peak, fake.billed

A fault is an HTTP status or one of CUT_BEFORE and CUT_AFTER (the connection is cut before or after the server acted),
CUT_MIDDLE (half of the body comes) and MISSING (the last line of a results file is left out).

`answer` gets the body of a Messages request and returns the text of the reply, or one of REFUSAL, TRUNCATED, ERRORED,
EXPIRED, CANCELED. It is called once per request served. Results of a batch always come in reversed order.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fake_claude_http import CUT_AFTER, CUT_BEFORE, CUT_MIDDLE, MISSING, Fault, serve, wrong_message

# What `answer` may return instead of a text; the last three exist in batches only.
REFUSAL, TRUNCATED, ERRORED, EXPIRED, CANCELED = "<refusal>", "<truncated>", "<errored>", "<expired>", "<canceled>"

__all__ = [
    "CANCELED",
    "CUT_AFTER",
    "CUT_BEFORE",
    "CUT_MIDDLE",
    "ERRORED",
    "EXPIRED",
    "MISSING",
    "REFUSAL",
    "TRUNCATED",
    "Batch",
    "Call",
    "FakeClaude",
]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request as it arrived."""

    route: str  # method and path, e.g. "POST /v1/messages/batches"; an id in the path is replaced by ID
    body: Any
    headers: dict[str, str]


@dataclass(kw_only=True)
class Batch:
    """A batch as the server keeps it: `requests` are {custom_id, params}, `lines` its results once it has ended."""

    id: str
    requests: list[dict[str, Any]]
    created: datetime
    polls: int = 0
    lines: list[dict[str, Any]] | None = None


@dataclass
class FakeClaude:
    """The server; see the head of this file. Attributes may be changed at any time.

    Attributes:
        answer: what the model says.
        polls_to_end: how often a batch is retrieved or listed before it has ended; None: it never ends.
        key: the only API key that is accepted; None: any.
        delay: seconds a Messages call takes. page: batches per page of a listing. max_body: bytes, more is refused.
        calls: every call that arrived. batches: by id. peak: most Messages calls at one time.
        billed: the usage of everything that was served, as (is_batch, input tokens, output tokens).
    """

    answer: Callable[[dict[str, Any]], str]
    polls_to_end: int | None = 1
    key: str | None = None
    delay: float = 0.0
    page: int = 20
    max_body: int = 256_000_000
    calls: list[Call] = field(default_factory=list)
    batches: dict[str, Batch] = field(default_factory=dict)
    billed: list[tuple[bool, int, int]] = field(default_factory=list)
    peak: int = 0
    inside: int = 0
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    url: str = ""

    def __enter__(self) -> "FakeClaude":
        self._server = serve(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def script(self, route: str, *faults: Fault) -> None:
        """The next calls of `route` (such as "POST /v1/messages/batches") meet these faults, one each."""
        self.faults.setdefault(route, []).extend(faults)

    def count(self, route: str) -> int:
        """How many calls of a route have arrived."""
        return sum(call.route == route for call in self.calls)

    def note(self, route: str, body: Any, headers: dict[str, str]) -> Fault | None:
        """A call has arrived; returns the fault that it is to meet."""
        with self.lock:
            self.calls.append(Call(route=route, body=body, headers=headers))
            waiting = self.faults.get(route)
            return waiting.pop(0) if waiting else None

    def messages(self, body: dict[str, Any], in_batch: bool) -> tuple[str, Any]:
        """The outcome of one Messages request: ("succeeded", message) or (errored, expired or canceled, detail)."""
        wrong = wrong_message(body)
        said = ERRORED if wrong else self.answer(body)
        if said in (ERRORED, EXPIRED, CANCELED):
            return said.strip("<>"), wrong or "internal error"
        stop = {REFUSAL: "refusal", TRUNCATED: "max_tokens"}.get(said, "end_turn")
        text = {REFUSAL: "", TRUNCATED: '{"trunc'}.get(said, said)
        usage = {"input_tokens": len(json.dumps([body.get("system"), body["messages"]])) // 3}
        usage |= {"output_tokens": len(text) // 3 + 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        with self.lock:
            self.billed.append((in_batch, usage["input_tokens"], usage["output_tokens"]))
            number = len(self.billed)
        content = [{"type": "text", "text": text}] if text else []
        head = {"id": f"msg_{number:06d}", "type": "message", "role": "assistant", "model": body["model"]}
        return "succeeded", head | {"content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}

    def create(self, body: dict[str, Any]) -> Batch:
        with self.lock:
            created = datetime.now(UTC)
            batch = Batch(id=f"msgbatch_{len(self.batches) + 1:06d}", requests=body["requests"], created=created)
            self.batches[batch.id] = batch
        return batch

    def view(self, batch: Batch) -> dict[str, Any]:
        """A batch as the API shows it; it ends here, when it has been looked at often enough."""
        with self.lock:
            if batch.lines is None and self.polls_to_end is not None and batch.polls >= self.polls_to_end:
                batch.lines = [self._line(request) for request in reversed(batch.requests)]
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for line in batch.lines or []:
            counts[line["result"]["type"]] += 1
        counts["processing"] = 0 if batch.lines is not None else len(batch.requests)
        made, ended = batch.created.isoformat(), batch.lines is not None
        return {
            **{"id": batch.id, "type": "message_batch", "processing_status": "ended" if ended else "in_progress"},
            **{"request_counts": counts, "created_at": made, "ended_at": made if ended else None},
            **{"expires_at": (batch.created + timedelta(hours=24)).isoformat(), "archived_at": None},
            "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{batch.id}/results" if ended else None,
        }

    def _line(self, request: dict[str, Any]) -> dict[str, Any]:
        outcome, detail = self.messages(request["params"], in_batch=True)
        result: dict[str, Any] = {"type": outcome}
        if outcome == "succeeded":
            result["message"] = detail
        elif outcome == "errored":
            kind = "api_error" if detail == "internal error" else "invalid_request_error"
            error = {"type": "error", "error": {"type": kind, "message": detail}, "request_id": None}
            result["error"] = error
        return {"custom_id": request["custom_id"], "result": result}
