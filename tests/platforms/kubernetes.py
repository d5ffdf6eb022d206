"""A stand-in for Kubernetes that is enough for Spark: an API server for pods and config maps, and a kubelet.

Spark's own scheduler backend asks it for executor pods, and their specifications are kept; the kubelet starts what the
image's entry point would start, as a process of this machine. It mounts nothing, isolates nothing, and knows no rights.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pyspark

JARS = Path(pyspark.__file__).parent / "jars"
EXECUTOR = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
OPTIONS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


@dataclass(kw_only=True)
class Namespace:
    """What one namespace holds. `asked` has every executor pod as Spark asked for it, in order."""

    folder: Path
    environment: dict[str, str]
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Keeps an object; a pod of an executor is started."""
        with self.lock:
            name = content["metadata"]["name"]
            stamp = {"uid": f"uid-{name}", "resourceVersion": "1", "creationTimestamp": datetime.now(UTC).isoformat()}
            kept = {**content, "metadata": {**content["metadata"], **stamp}}
            if kind == "pods":
                self.asked.append(content)
                self.processes[name] = self._start(content)
            self.objects[kind, name] = kept
            return self.get(kind, name)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object with its state of now. Raises KeyError."""
        with self.lock:
            found = self.objects[kind, name]
            return found if name not in self.processes else {**found, "status": self._status(name)}

    def chosen(self, kind: str, selector: str) -> list[dict[str, Any]]:
        """Objects that a label selector such as `a=1,b!=2` chooses."""
        with self.lock:
            found = [self.get(kind, name) for one, name in self.objects if one == kind]
            return [one for one in found if _chooses(selector, one["metadata"].get("labels", {}))]

    def delete(self, kind: str, name: str) -> None:
        with self.lock:
            self.objects.pop((kind, name), None)
            if process := self.processes.pop(name, None):
                process.terminate()

    def _start(self, pod: dict[str, Any]) -> subprocess.Popen[bytes]:
        (container,) = pod["spec"]["containers"]
        assert container["args"] == ["executor"], "what the entry point of the image gets"
        fields = {"status.podIP": "127.0.0.1", "metadata.name": pod["metadata"]["name"]}
        said = {
            one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in container["env"]
        }
        said.pop("HOME")  # /tmp of the container
        java = [value for name, value in said.items() if name.startswith("SPARK_JAVA_OPT_")]
        memory = said["SPARK_EXECUTOR_MEMORY"]
        options = [word for option, name in OPTIONS.items() for word in (option, said[name])]
        with (self.folder / f"{pod['metadata']['name']}.log").open("wb") as log:
            return subprocess.Popen(
                ["java", *java, f"-Xms{memory}", f"-Xmx{memory}", "-cp", str(JARS / "*"), EXECUTOR, *options],
                env={**self.environment, **said, "SPARK_LOCAL_DIRS": str(self.folder)},
                cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip

    def _status(self, name: str) -> dict[str, Any]:
        code = self.processes[name].poll()
        now = datetime.now(UTC).isoformat()
        ended = {"terminated": {"exitCode": code, "finishedAt": now}}
        state = {"running": {"startedAt": now}} if code is None else ended
        phase = "Running" if code is None else "Succeeded" if code == 0 else "Failed"
        container = {"name": "executor", "ready": code is None, "restartCount": 0, "state": state}
        return {"phase": phase, "podIP": "127.0.0.1", "startTime": now, "containerStatuses": [container]}


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    namespace: Namespace

    def do_GET(self) -> None:
        kind, name = self._target()
        if name:
            try:
                self._answer(200, self.namespace.get(kind, name))
            except KeyError:
                self._answer(404, _failure(404, f"{kind} {name} not found"))
            return
        items = self.namespace.chosen(kind, self._selector())
        self._answer(200, {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})

    def do_POST(self) -> None:
        kind, _ = self._target()
        self._answer(201, self.namespace.create(kind, self._body()))

    def do_PATCH(self) -> None:
        kind, name = self._target()
        self._body()
        self._answer(200, self.namespace.get(kind, name))

    def do_DELETE(self) -> None:
        kind, name = self._target()
        self._body()
        names = [name] if name else [one["metadata"]["name"] for one in self.namespace.chosen(kind, self._selector())]
        for one in names:
            self.namespace.delete(kind, one)
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def log_message(self, format: str, *args: Any) -> None:
        """Spark's log says enough."""

    def _target(self) -> tuple[str, str]:
        parts = urlparse(self.path).path.strip("/").split("/")  # api/v1/namespaces/NAMESPACE/KIND/NAME
        return parts[4], parts[5] if len(parts) > 5 else ""

    def _selector(self) -> str:
        return parse_qs(urlparse(self.path).query).get("labelSelector", [""])[0]

    def _body(self) -> dict[str, Any]:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return json.loads(data) if data else {}

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _chooses(selector: str, labels: dict[str, str]) -> bool:
    for requirement in filter(None, selector.split(",")):
        name, value = requirement.split("=", 1)
        if name.endswith("!") == (labels.get(name.rstrip("!")) == value):
            return False
    return True


def _failure(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


@contextmanager
def kubernetes(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, Namespace]]:
    """The API server's address, and the namespace behind it; executors work in `folder`."""
    namespace = Namespace(folder=folder, environment=environment)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"namespace": namespace}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", namespace
    finally:
        server.shutdown()
        for process in namespace.processes.values():
            process.kill()
            process.wait(30)


def driver_pod(name: str) -> dict[str, Any]:
    """The pod that the CronJob made, for Spark to own its executors by."""
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}}
