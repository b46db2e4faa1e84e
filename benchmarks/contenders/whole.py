"""(d) A whole worker of this project, from the log to a judged status that has counted all."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from stopwatch import report, task

ROOT = Path(__file__).parents[2]
LOOK_S = 0.1


def main() -> None:
    kafka, prefix, count = task()
    port = 5097
    env = {
        **os.environ,
        "BURNRATE_KAFKA": kafka,
        "BURNRATE_TOPIC_PREFIX": prefix,
        "BURNRATE_DATA": tempfile.mkdtemp(),
        "BURNRATE_CONFIG": str(ROOT / "config"),
        "BURNRATE_LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, "-m", "app", "worker", "--port", str(port)]
    worker = psutil.Popen(command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL)
    # looking on must not take the worker's core
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - os.sched_getaffinity(worker.pid))
    try:
        watch(worker, f"http://127.0.0.1:{port}", count)
    finally:
        worker.terminate()
        worker.wait()


def watch(worker: psutil.Process, url: str, count: int) -> None:
    """From the last look at which the intake had read nothing to a status that counts all."""
    began, reading = (time.perf_counter(), 0.0), False
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        while True:
            now = time.perf_counter(), sum(worker.cpu_times()[:2])
            reading = reading or has_read(client)
            total, bad = counted(client) if reading else (0, 0)
            if not reading:
                began = now
            if total >= count:
                report(total, now[0] - began[0], now[1] - began[1], total, bad)
                return
            time.sleep(LOOK_S)


def has_read(client: httpx.Client) -> bool:
    """Whether the intake has counted anything yet."""
    try:
        lines = client.get("/metrics").text.splitlines()
    except httpx.HTTPError:
        return False
    return any(
        line.startswith('burnrate_events_total{result="counted"}') and float(line.split()[-1]) > 0
        for line in lines
    )


def counted(client: httpx.Client) -> tuple[int, int]:
    """What the status says of availability."""
    try:
        slos = client.get("/api/slo/status").json().get("slos", [])
    except (httpx.HTTPError, ValueError):
        return 0, 0
    for slo in slos:
        if slo["id"] == "availability":
            return slo["windows"]["24h"]["total"], slo["windows"]["24h"]["bad"]
    return 0, 0


if __name__ == "__main__":
    main()
