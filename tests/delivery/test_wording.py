"""Templates: one's own before the shipped ones, checked before use, never in the way of a page."""

from pathlib import Path

import pytest

from app.delivery import words
from app.delivery.wording import PARTS, PLAIN, SHIPPED, SLACK, Wording
from tests.delivery.samples import ADDRESSES, TRIGGER, told


def own(folder: Path, **templates: str) -> Wording:
    for name, text in templates.items():
        (folder / f"{name}.j2").write_text(text)
    return Wording(folder)


def test_every_part_is_shipped_and_without_fault() -> None:
    assert sorted(path.stem for path in SHIPPED.glob("*.j2")) == sorted(PARTS)
    assert Wording(SHIPPED).faults() == []


def test_ones_own_template_comes_first(tmp_path: Path) -> None:
    wording = own(tmp_path, owner="Ask {{ bold(story.owner) }} <here>")
    assert wording.part("owner", TRIGGER, SLACK, ADDRESSES) == "Ask *@backend-team* <here>"
    assert wording.part("objective", TRIGGER, PLAIN, ADDRESSES) == "Objective\n99.5 %"


def test_what_comes_from_events_is_escaped_for_its_target(tmp_path: Path) -> None:
    wording = own(tmp_path, lead="{% set who %}{{ story.owner }}{% endset %}{{ who }}")
    notice = told("trigger", story_owner="<!channel> & 'it' \"is\"")
    said = {voice: wording.part("lead", notice, voice, ADDRESSES) for voice in (SLACK, PLAIN)}
    assert said == {
        SLACK: "&lt;!channel&gt; &amp; 'it' \"is\"",
        PLAIN: "<!channel> & 'it' \"is\"",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ nobody }}", "templates/lead.j2: UndefinedError: 'nobody' is undefined"),
        ("\n{% if %}", "templates/lead.j2:2: TemplateSyntaxError: Expected an expression"),
        ("{{ story.owner.__class__ }}", "templates/lead.j2: SecurityError: access to attribute"),
    ],
)
def test_a_slip_is_found_beforehand_and_costs_no_page(
    tmp_path: Path, text: str, fault: str
) -> None:
    wording = own(tmp_path, lead=text)
    assert [found[: len(fault)] for found in wording.faults()] == [fault]
    assert wording.part("lead", TRIGGER, PLAIN, ADDRESSES).startswith("@backend-team Availability")


@pytest.mark.parametrize(
    ("value", "unit", "apart_from", "text"),
    [
        (0.972, "ratio", 0.99, "97.2 %"),
        (0.98999, "ratio", 0.99, "98.999 %"),
        (0.9999, "ratio", None, "99.99 %"),
        (75_300.0, "ms", 60_000, "75.3 s"),
        (60_004.0, "ms", 60_000, "60.004 s"),
        (1310.4, "MB", 1024, "1,310 MB"),
        (3, "count", 0, "3"),
        (float("inf"), "ratio", 0.1, "∞"),
        (float("nan"), "ratio", 0.1, "unknown"),
    ],
)
def test_amounts(value: float, unit: str, apart_from: float | None, text: str) -> None:
    assert words.amount(value, unit, apart_from) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (125, "2 min"),
        (3600, "1 h"),
        (6120, "1 h 42 min"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
        (-5, "0 s"),
        (float("inf"), "unknown"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("window_s", "text"),
    [
        (300, "5 minutes"),
        (3600, "hour"),
        (86_400, "24 hours"),
        (604_800, "7 days"),
        (90, "90 seconds"),
    ],
)
def test_windows(window_s: int, text: str) -> None:
    assert words.window(window_s) == text


def test_a_file_that_is_no_part_is_a_slip_too(tmp_path: Path) -> None:
    (tmp_path / "titel.j2").write_text("{{ notice.slo }}")
    [fault] = Wording(tmp_path).faults()
    assert fault.startswith("templates/titel.j2: there is no such part; parts are title, lead,")
