import json

import pytest

from app.bridge.events import (
    comparison_event,
    conversations_event,
    encode,
    heartbeat,
    kept_metadata,
    metrics_event,
    moment_ms,
    row_mark,
)

AT = "2026-03-01 10:00:00"


def test_a_row_of_metrics_keeps_its_columns_and_only_what_may_leave() -> None:
    metadata = json.dumps(
        {"sessionId": "s-1", "prompt": "secret", "exitCode": 0, "memoryMB": 306.8}
    )
    row = (7, AT, "EXECUTION_COMPLETED", "alice", "codex", 5200, 1, metadata)
    assert json.loads(encode(metrics_event(row))) == {
        "id": 7,
        "event": "EXECUTION_COMPLETED",
        "agent_id": "alice",
        "cli_type": "codex",
        "duration_ms": 5200,
        "success": 1,
        "metadata": {"exitCode": 0, "memoryMB": 306.8},
        "timestamp": AT,
    }


def test_a_comparison_leaves_without_the_answers() -> None:
    row = (3, AT, "t-9", "bob", 1, 0, 0, None, "exit 1 " + "x" * 600)
    event = json.loads(encode(comparison_event(row)))
    assert event["metadata"].pop("error") == ("exit 1 " + "x" * 600)[:512]
    assert event == {
        "id": 3,
        "event": "SHADOW_COMPARED",
        "agent_id": "bob",
        "cli_type": None,
        "duration_ms": None,
        "success": None,
        "metadata": {
            "ticketId": "t-9",
            "tmuxSuccess": True,
            "headlessSuccess": False,
            "match": False,
        },
        "timestamp": AT,
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, {}),
        ("", {}),
        ("{", {}),
        ("[1]", {}),
        (b"\x01", {}),
        ("{}", {}),
        ('{"error": "' + "e" * 600 + '"}', {"error": "e" * 512}),
        ('{"error": {"code": 7}}', {"error": '{"code":7}'}),
        ('{"headlessError": "exit 1", "tmuxDuration": 4}', {"error": "exit 1"}),
        ('{"memoryMB": "300", "exitCode": true}', {}),
        ('{"memoryMB": 0}', {"memoryMB": 0}),
        (
            '{"conversationId": "conv-1", "issueTypes": ["a", "b"], "issues": [{"message": "m"}]}',
            {"conversationId": "conv-1", "issueTypes": ["a", "b"]},
        ),
        (
            '{"conversationId": 12, "turnId": 5, "totalOrphans": 2}',
            {"conversationId": "12", "turnId": 5},
        ),
        ('{"latencyDelta": -12, "response": "secret"}', {"latencyDelta": -12}),
        ('{"issueTypes": "duplicate_role"}', {}),
    ],
)
def test_metadata_is_cut_to_what_may_leave(text: object, kept: dict[str, object]) -> None:
    assert kept_metadata(text) == kept


def test_nothing_that_is_sent_can_outgrow_a_record() -> None:
    big = "x" * 2_000_000
    metadata = json.dumps({"error": big, "conversationId": big, "issueTypes": [big] * 100})
    row = (1, big, "EXECUTION_FAILED", big, big, 1, 0, metadata)
    assert len(encode(metrics_event(row))) < 16_000


def test_our_own_events_have_no_row_id() -> None:
    counted = conversations_event(40, 1_772_359_200_000)
    assert (counted.id, counted.metadata, counted.timestamp) == (
        None,
        {"count": 40},
        "2026-03-01T10:00:00.000Z",
    )
    alive = heartbeat("b1", 1_772_359_200_000, 3, None)
    assert (alive.agent_id, alive.metadata) == (
        "b1",
        {"backlog": 3, "oldestAt": None, "bridge": "b1"},
    )


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-03-01 10:00:00", 1_772_359_200_000),
        ("2026-03-01T10:00:00.250Z", 1_772_359_200_250),
        ("2026-03-01T11:00:00+01:00", 1_772_359_200_000),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_read_in_both_forms(text: object, at_ms: int | None) -> None:
    assert moment_ms(text) == at_ms


def test_a_rows_mark_depends_on_its_content_not_on_its_id_or_metadata() -> None:
    row = (1, AT, "EXECUTION_FAILED", "alice", "codex", 5, 0, "{}")
    assert row_mark(row) == row_mark((2, *row[1:7], '{"error": 1}'))
    assert row_mark(row) != row_mark((1, AT, "EXECUTION_FAILED", "bob", "codex", 5, 0, "{}"))
