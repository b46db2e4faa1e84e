"""Bookmarks: what is committed is where the next reader begins, with what it has to know."""

import pytest
from aiokafka import OffsetAndMetadata

from app.core.chunks import CHUNK_RECORDS, Heartbeat
from app.core.folding import Folder
from app.core.reading import PartitionReader, Record
from app.intake.bookmarks import Beginning, beginning, bookmark
from tests.core.histories import BEGAN_MS, TOPIC
from tests.core.policies import AVAILABILITY, LATENCY

BEAT = Heartbeat(BEGAN_MS, backlog=3)
EVENT = b'{"event":"EXECUTION_COMPLETED","agent_id":"a","duration_ms":900,"success":1}'
FOLDERS = [Folder(slo.id, slo.definition, TOPIC) for slo in (AVAILABILITY, LATENCY)]


def committed(upto: int, *, folders: list[Folder] = FOLDERS, already: int = 0) -> OffsetAndMetadata:
    """What a worker commits that has read the log from its start up to an offset."""
    reader = PartitionReader(folders, topic=TOPIC, epoch="e", partition=0, skip=False)
    reader.read([Record(offset, BEGAN_MS, EVENT) for offset in range(upto)])
    return bookmark(reader, already, BEAT)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            beginning(None, "e", 7, FOLDERS),
            Beginning(7, skip=False, folders=FOLDERS, counted_upto=0, heartbeat=None),
        ),
        (
            beginning(committed(20), "e", 0, FOLDERS),
            Beginning(0, skip=False, folders=FOLDERS, counted_upto=20, heartbeat=BEAT),
        ),
        (
            beginning(committed(CHUNK_RECORDS + 20), "e", 0, FOLDERS),
            Beginning(CHUNK_RECORDS, False, FOLDERS, CHUNK_RECORDS + 20, BEAT),
        ),
        (  # killed while it read its open chunk again
            beginning(committed(20, already=500), "e", 0, FOLDERS),
            Beginning(0, skip=False, folders=FOLDERS, counted_upto=500, heartbeat=BEAT),
        ),
        (  # one definition is new: the other goes on
            beginning(committed(20, folders=FOLDERS[:1]), "e", 0, FOLDERS),
            Beginning(0, skip=False, folders=FOLDERS[:1], counted_upto=20, heartbeat=BEAT),
        ),
        (  # the topic was made anew; the bridge is the same
            beginning(committed(CHUNK_RECORDS + 20), "another", 3, FOLDERS),
            Beginning(3, skip=False, folders=FOLDERS, counted_upto=0, heartbeat=BEAT),
        ),
        (  # retention has eaten into the open chunk
            beginning(committed(20), "e", 5, FOLDERS),
            Beginning(5, skip=True, folders=FOLDERS, counted_upto=20, heartbeat=BEAT),
        ),
        (
            beginning(OffsetAndMetadata(100, "somebody else's"), "e", 0, FOLDERS),
            Beginning(100, skip=True, folders=FOLDERS, counted_upto=0, heartbeat=None),
        ),
    ],
)
def test_a_reader_begins_where_the_bookmark_says(found: Beginning, expected: Beginning) -> None:
    assert found == expected
