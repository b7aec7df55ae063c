"""
For whoever runs the page: limits by the size of the machine, a log line for each request, health,
and metrics. README.md has the variables that set them.
"""

import functools
import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gradio import Error as Refusal
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MB_PER_REQUEST = 192  # a photo of the most pixels, unpacked, and those read before it
CGROUP = Path("/sys/fs/cgroup")  # of a container


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        workers: threads that run the network. threads: PyTorch's, of each worker.
        photos_at_once: requests in work. queue: requests that may wait.
        metrics_port: None without metrics.
    """

    workers: int
    threads: int
    photos_at_once: int
    queue: int
    metrics_port: int | None

    @classmethod
    def from_environment(cls, env: Mapping[str, str], cores: int, memory_mb: int) -> "Limits":
        """
        Args:
            env: its variables. cores, memory_mb: of the machine or container.

        Raises:
            SystemExit: a variable is no whole number of at least 1.
        """

        def number(name: str, default: int) -> int:
            text = env.get(f"FACES_{name}") or str(default)
            if not text.isdecimal() or int(text) < 1:
                raise SystemExit(
                    f"FACES_{name}: expected a whole number of at least 1, but found {text!r}."
                )
            return int(text)

        workers = number("WORKERS", min(cores, 4))
        fit = number("MEMORY_MB", max(1, memory_mb // 2)) // MB_PER_REQUEST
        at_once = number("PHOTOS_AT_ONCE", max(1, min(16 * cores, fit)))
        return cls(
            workers=workers,
            threads=number("THREADS", max(1, cores // workers)),
            photos_at_once=at_once,
            queue=number("QUEUE", 8 * at_once),
            metrics_port=number("METRICS_PORT", 1) if env.get("FACES_METRICS_PORT") else None,
        )


def cores() -> int:
    """The cores of the machine, or as many as this process's container is given."""
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    quota, _, period = _cgroup("cpu.max").partition(" ")
    share = math.ceil(int(quota) / int(period)) if quota.isdecimal() else len(allowed)
    return max(1, min(len(allowed), share))


def memory_mb() -> int:
    """The memory of the machine, or as much as its container is given."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    given = _cgroup("memory.max")
    return (min(physical, int(given)) if given.isdecimal() else physical) >> 20


def _cgroup(name: str) -> str:
    file = CGROUP / name
    return file.read_text().strip() if file.is_file() else ""


class Metrics:
    """Counts since the start, and, as `gauges`, what is measured when the metrics are read."""

    def __init__(self):
        self.requests: Counter[tuple[str, str]] = Counter()  # (request, outcome)
        self.seconds: Counter[str] = Counter()  # float, by request
        self.totals: Counter[str] = Counter({"photos": 0, "faces": 0})
        self.gauges: dict[str, Callable[[], float]] = {}
        self._lock = threading.Lock()

    def add(self, request: str, outcome: str, seconds: float, numbers: Mapping[str, int]) -> None:
        with self._lock:
            self.requests[request, outcome] += 1
            self.seconds[request] += seconds
            self.totals.update(numbers)

    def text(self) -> str:
        """In Prometheus' text format."""
        with self._lock:
            requests, seconds = dict(self.requests), dict(self.seconds)
            totals = dict(self.totals)
        lines = ["# TYPE space_requests_total counter"]
        lines += [
            f'space_requests_total{{request="{request}",outcome="{outcome}"}} {count}'
            for (request, outcome), count in sorted(requests.items())
        ]
        lines.append("# TYPE space_request_seconds_total counter")
        lines += [
            f'space_request_seconds_total{{request="{request}"}} {spent:.6f}'
            for request, spent in sorted(seconds.items())
        ]
        for name, count in sorted(totals.items()):
            lines += [f"# TYPE space_{name}_total counter", f"space_{name}_total {count}"]
        for name, measure in self.gauges.items():
            lines += [f"# TYPE space_{name} gauge", f"space_{name} {measure():g}"]
        return "\n".join([*lines, ""])


METRICS = Metrics()
_noted: ContextVar[dict | None] = ContextVar("noted", default=None)


def observed(request: str) -> Callable[[Callable], Callable]:
    """
    Decorates the function that answers a request of this name: each call is counted and has a log
    line, of numbers and fixed words only: no picture, no name, no address.
    """

    def decorate(answer: Callable) -> Callable:
        @functools.wraps(answer)
        def answered(*args: Any, **kwargs: Any) -> Any:
            noted: dict = {"outcome": "ok"}
            token, started = _noted.set(noted), time.perf_counter()
            try:
                return answer(*args, **kwargs)
            except BaseException as error:
                noted["outcome"] = "refused" if isinstance(error, Refusal) else "failed"
                raise
            finally:
                _noted.reset(token)
                _write(request, time.perf_counter() - started, **noted)

        answered.request = request
        return answered

    return decorate


def note(**values: int | str) -> None:
    """For the log line of the request in work: outcome, reason, and numbers, which add up."""
    noted = _noted.get()
    if noted is None:
        return
    for name, value in values.items():
        noted[name] = value if isinstance(value, str) else noted.get(name, 0) + value


def refused(request: str, reason: str, seconds: float = 0.0) -> None:
    """Counts a request that never came as far as its answer, and writes its log line."""
    _write(request, seconds, "refused", reason)


def _write(
    request: str, seconds: float, outcome: str, reason: str | None = None, **numbers: int
) -> None:
    METRICS.add(request, outcome, seconds, numbers)
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    line = {"time": now, "request": request, "outcome": outcome, "seconds": round(seconds, 3)}
    why = {"reason": reason} if reason else {}
    print(json.dumps(line | why | numbers), flush=True)


def health(alive: Callable[[], bool]) -> Route:
    """GET /healthz: 200 while the model can answer, else 503, as orchestrators expect."""

    def answer(request: Request) -> JSONResponse:
        ok = alive()
        return JSONResponse({"status": "ok" if ok else "failed"}, 200 if ok else 503)

    return Route("/healthz", answer)


def serve_metrics(port: int | None) -> ThreadingHTTPServer | None:
    """
    Serves http://127.0.0.1:PORT/metrics, to this machine alone; does nothing without a port.

    Raises:
        SystemExit: the port is taken.
    """
    if port is None:
        return None

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/metrics"
            body = METRICS.text().encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: it would log addresses."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    except OSError as error:
        raise SystemExit(f"FACES_METRICS_PORT={port}: {error.strerror}.") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
