"""A real S3 server on this machine: moto, which keeps objects in memory, behind a door that can refuse or count."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import s3fs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tokensieve.udfs.files.storage import StorageConfig

BUCKET = "corpus"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
REGION = "eu-central-1"
BUSY = b"<Error><Code>ServiceUnavailable</Code><Message>the server is busy</Message></Error>"


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


def _nothing(method: str, path: str) -> bool:
    return False


class S3Server:
    """Serves from a thread of this process; `counts` are requests by method."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._refused: Callable[[str, str], bool] = _nothing
        self._refusal = ("", b"")
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @classmethod
    def with_keys(cls, environment: pytest.MonkeyPatch) -> "S3Server":
        """A server, and in the environment of this process the keys to it."""
        for name, value in KEYS.items():
            environment.setenv(name, value)
        return cls()

    def __enter__(self) -> "S3Server":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        files = self.files()
        if not files.exists(BUCKET):  # moto's objects outlive a server of the same process
            files.mkdir(BUCKET, region_name=REGION)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self) -> s3fs.S3FileSystem:
        """The objects, as somebody else than tokensieve sees them."""
        return s3fs.S3FileSystem(
            endpoint_url=self.endpoint,
            client_kwargs={"region_name": REGION},
            use_listings_cache=False,
        )

    def storage(self, attempts: int = 2) -> StorageConfig:
        """How this server is reached."""
        return StorageConfig(endpoint=self.endpoint, region=REGION, path_style=True, attempts=attempts)

    def overrides(self, *sections: str) -> list[str]:
        """Settings of a configuration by which these sections reach this server."""
        settings = {"endpoint": self.endpoint, "region": REGION, "path_style": "true"}
        return [f"{section}.storage.{key}={value}" for section in sections for key, value in settings.items()]

    @contextmanager
    def refusing(
        self, refused: Callable[[str, str], bool], status: str = "503 Slow Down", answer: bytes = BUSY
    ) -> Iterator[None]:
        """While inside, requests of which `refused(method, path)` is true are answered so."""
        self._refused, self._refusal = refused, (status, answer)
        try:
            yield
        finally:
            self._refused = _nothing

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.counts[method] += 1
        if self._refused(method, path):
            status, answer = self._refusal[0], b"" if method == "HEAD" else self._refusal[1]
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(answer)))])
            return [answer]
        return self._moto(environ, start_response)
