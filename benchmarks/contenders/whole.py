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
        watch(worker, f"http://127.0.0.1:{port}/api/slo/status", count)
    finally:
        worker.terminate()
        worker.wait()


def watch(worker: psutil.Process, url: str, count: int) -> None:
    """From the last look that found nothing counted to the first that finds everything."""
    began = time.perf_counter(), 0.0
    with httpx.Client(trust_env=False, timeout=5) as client:
        while True:
            total, bad = counted(client, url)
            now = time.perf_counter(), sum(worker.cpu_times()[:2])
            if not total:
                began = now
            if total >= count:
                report(total, now[0] - began[0], now[1] - began[1], total, bad)
                return
            time.sleep(LOOK_S)


def counted(client: httpx.Client, url: str) -> tuple[int, int]:
    """What the status says of availability."""
    try:
        slos = client.get(url).json().get("slos", [])
    except (httpx.HTTPError, ValueError):
        return 0, 0
    for slo in slos:
        if slo["id"] == "availability":
            return slo["windows"]["24h"]["total"], slo["windows"]["24h"]["bad"]
    return 0, 0


if __name__ == "__main__":
    main()
