"""A changed configuration is taken over by running workers: nothing is lost, nothing restarts."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import (
    HOUR,
    MINUTE,
    ROOT,
    Event,
    Stack,
    execution,
    integrity,
    key_time,
    trailing,
    wait_for,
)
from tests.e2e.load import is_counted

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
KEY = f"availability-{key_time(BEGIN)}"
PAGE = f"{KEY}/P1/1"
RESOURCE = "  - id: resource-efficiency"

NEW_SLO = """
  - id: timeouts
    title: Timeouts
    objective: 0.99
    by: {cli_type: [claude]}
    counts:
      - {event: EXECUTION_COMPLETED, where: ["metadata.tier not in [free]"]}
      - {event: EXECUTION_FAILED, bad_when: always}
    headline: {kind: ratio, target: 0.99, window: 24h, unit: ratio}
    breach: {measure: ratio, threshold: 0.5, window: 1h, severity: P2}
"""
NEW_ROUTE = """
  timeouts: {owner: "@qa-team", channel: "#shadow-mode-alerts"}
"""


class Folder:
    """A configuration to be changed under running workers."""

    def __init__(self, path: Path, of: Path = ROOT / "config") -> None:
        self.path = path
        shutil.copytree(of, path)

    def copy(self) -> "Folder":
        """Where no worker looks, so that a change can be asked about before one takes it over."""
        return Folder(self.path.with_name("next"), self.path)

    def take(self, other: "Folder") -> None:
        """What another folder says now."""
        for name in ("ownership.yaml", "slos.yaml"):
            self.write(name, other.read(name))

    def write(self, name: str, text: str) -> None:
        new = self.path / f"{name}.new"
        new.write_text(text)
        new.replace(self.path / name)

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def edit(self, name: str, *changes: tuple[str, str]) -> None:
        text = self.read(name)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        self.write(name, text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "config")


def slower(sent: list[tuple[float, Event]], limit_ms: int, at_s: float) -> tuple[int, int]:
    """Latency's hour, counted from the events themselves."""
    begin, end = trailing(at_s, HOUR)
    found = [
        event["duration_ms"]
        for at, event in sent
        if event["event"] == "EXECUTION_COMPLETED" and begin <= at < end
    ]
    return len(found), sum(duration > limit_ms for duration in found)


def mixed(at_s: float, count: int) -> Iterator[Event]:
    for number in range(count):
        yield execution(at_s - number, duration_ms=(1000, 25_000, 45_000)[number % 3])


async def reload(stack: Stack) -> httpx.Response:
    return await stack._http.post(
        f"{stack.workers[0].url}/api/reload",
        headers={"Authorization": "Bearer a-token-of-the-tests"},
    )


async def against_live(stack: Stack, folder: Folder) -> str:
    """What `burnrate check --against-live` says of the folder."""
    checking = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "check", str(folder.path), "--against-live"),
        env=stack.env() | {"BURNRATE_URL": stack.workers[0].url},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await checking.communicate()
    assert checking.returncode == 0
    return said.decode()


async def filled(stack: Stack, slo: str, worker: int = 0) -> None:
    async def done() -> bool:
        shown = await stack.slo(slo, worker)
        return bool(shown) and shown["filling"] is False

    await wait_for(done, f"{slo} is filled")


async def has_windows(stack: Stack, slo: str, hour: tuple[int, int], worker: int = 0) -> None:
    async def counted() -> bool:
        return (await stack.windows(slo, worker)).get("1h") == hour

    try:
        await wait_for(counted, f"{slo} counts {hour} in the hour")
    except AssertionError as error:
        raise AssertionError(f"{error}: {await stack.windows(slo, worker)}") from None


def moved_owner(folder: Folder) -> None:
    folder.edit(
        "ownership.yaml",
        (
            'owner: "@backend-team"\n    channel: "#headless-alerts"',
            'owner: "@ops-team"\n    channel: "#ops-alerts"',
        ),
        ('- {to: "@platform-lead", how', '- {to: "@ops-lead", how'),
    )


async def test_a_reload_in_the_middle_of_an_incident(
    kafka: str, prefix: str, tmp_path: Path, folder: Folder
) -> None:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, config=folder.path) as stack:
        await stack.worker().start()
        await stack.produce([*mixed(BEGIN - 60, 60)])
        await stack.produce([integrity(BEGIN - 5, "c-1")], partition=1)
        failed = [execution(BEGIN - 10 - n, good=False) for n in range(12)]
        await stack.produce(failed, partition=3)
        await stack.told_so("headless-alerts", "P1 availability: breach")
        await stack.told_so("critical-alerts", "P1 data-integrity: breach")
        await wait_for(lambda: len(stack.paged()) == 3, "both are paged, the data lead as well")

        # another owner, another definition, one SLO more, two fewer, one of them with an incident
        after = folder.copy()
        moved_owner(after)
        slos = after.read("slos.yaml")
        begin, end = slos.index("  - id: data-integrity"), slos.index(RESOURCE)
        kept = slos[:begin].replace("duration_ms > 30000", "duration_ms > 20000")
        after.write("slos.yaml", kept + NEW_SLO)
        ownership = after.read("ownership.yaml")
        routes, _, rest = ownership.partition("  data-integrity:")
        after.write("ownership.yaml", routes + NEW_ROUTE + rest[rest.index("  alerter:") :])
        assert end > begin
        said = await against_live(stack, after)
        assert f"reload: {KEY}: @ops-team and #ops-alerts are told from the next step on" in said
        assert "its pages are resolved" in said
        assert "reload: latency: counts something else now" in said
        folder.take(after)
        answer = await reload(stack)
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "changed": True,
                "added": ["timeouts:claude", "timeouts:other"],
                "removed": ["data-integrity", "resource-efficiency"],
                "redefined": ["latency"],
            },
        )

        # the removed SLO's incident ends where it was told
        await stack.told_so("critical-alerts", "Resolved: data-integrity")
        for owner in ("data-team", "data-lead"):
            await wait_for(
                lambda o=owner: [a for a, _ in stack.paged(o)] == ["trigger", "resolve"],
                f"{owner}'s page is resolved",
            )

        # what is defined anew counts what lay in the log; what is not goes on as it was
        await filled(stack, "latency")
        await filled(stack, "timeouts:claude")
        await stack.judged()
        await has_windows(stack, "latency", slower(stack.sent, 20_000, stack.now))
        await has_windows(stack, "timeouts:claude", (72, 12))
        await has_windows(stack, "timeouts:other", (0, 0))
        await is_counted(stack)
        assert [slo["id"] for slo in (await stack.api("/api/slo/status"))["slos"]] == [
            "availability",
            "latency",
            "correctness",
            "timeouts:claude",
            "timeouts:other",
        ]
        (incident,) = [i for i in await stack.incidents() if i["slo"] == "availability"]
        assert (incident["key"], incident["state"]) == (KEY, "firing")

        # the escalation is the new owner's
        await stack.produce([execution(BEGIN + 20 * MINUTE, good=False)], kafka_s=BEGIN)
        await stack.at(BEGIN + 30 * MINUTE)
        await stack.told_so("ops-alerts", "escalated to @ops-lead")
        await wait_for(lambda: stack.paged("ops-lead"), "the new lead is paged")
        assert stack.paged("platform-lead") == []

        # what is unsound is refused, and judging goes on
        sound = folder.read("slos.yaml")
        folder.write("slos.yaml", sound.replace("objective: 0.995", "objective: 9.95"))

        async def refused() -> bool:
            return await stack.metric("burnrate_config_reload_success") == 0

        await wait_for(refused, "the metric says so")
        assert "slos.yaml" in stack.workers[0].log()
        assert "the old one stays" in stack.workers[0].log()
        answer = await reload(stack)
        assert answer.status_code == 422
        assert "objective" in answer.json()["detail"]
        await stack.judged()
        folder.write("slos.yaml", sound)

        async def taken() -> bool:
            return await stack.metric("burnrate_config_reload_success") == 1

        await wait_for(taken, "the sound file is seen")

        # it resolves where it was told, both before and after
        await stack.at(BEGIN + 85 * MINUTE)
        await stack.produce([execution(BEGIN + 84 * MINUTE) for _ in range(10)])
        await stack.told_so("headless-alerts", "Resolved: availability")
        await stack.told_so("ops-alerts", "Resolved: availability")
        for owner in ("backend-team", "ops-lead"):
            await wait_for(lambda o=owner: ("resolve", PAGE) in stack.paged(o), f"{owner} resolved")
        assert stack.pagerduty.open == {}
        assert stack.paged("ops-team") == []  # the page that was open woke the old owner


async def test_every_part_takes_over_by_itself_and_a_death_in_between_loses_nothing(
    kafka: str, prefix: str, tmp_path: Path, folder: Folder
) -> None:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, config=folder.path) as stack:
        parts = [stack.worker("--only", part) for part in ("count", "intake", "deliver")]
        for part in parts:
            await part.start(ready=False)
        for part in parts:
            await wait_for(part.is_ready, "ready")
        count, intake, deliver = parts
        for number in range(4):
            await stack.produce([*mixed(BEGIN - 60 - number, 300)], partition=number)
        await has_windows(stack, "latency", slower(stack.sent, 30_000, stack.now))

        # the intake learns of it while count stands still, and dies before it is done
        count.suspend()
        folder.edit("slos.yaml", ("duration_ms > 30000", "duration_ms > 20000"))
        (folder.path / "templates").mkdir(exist_ok=True)
        folder.write("templates/title.j2", "Changed: {{ notice.slo }} {{ notice.kind }}")
        assert intake.process is not None
        intake.process.send_signal(signal.SIGHUP)
        await wait_for(lambda: "redefined latency" in intake.log(), "the intake takes it over")
        await intake.kill()
        count.resume()
        if await _ended_by_itself(count):
            await count.start(ready=False)
        await intake.start(ready=False)
        await stack.produce([*mixed(BEGIN - 30, 90)], partition=2)

        async def same() -> bool:
            shown: dict[str, Any] = await stack.slo("latency")
            return bool(shown) and not shown["filling"]

        await wait_for(same, "filled", 60)
        await has_windows(stack, "latency", slower(stack.sent, 20_000, stack.now))

        # deliver has the new wording
        await wait_for(lambda: "configuration taken over" in deliver.log(), "deliver has it")
        failed = [execution(BEGIN - 10 - n, good=False) for n in range(200)]
        await stack.produce(failed, partition=1)
        await stack.told_so("headless-alerts", "Changed: availability trigger")


async def _ended_by_itself(worker: Any) -> bool:  # noqa: ANN401 - a worker of the harness
    """Whether it stood still for so long that it starts again (its supervisor would do it)."""
    await asyncio.sleep(1.5)
    return worker.process.returncode is not None
