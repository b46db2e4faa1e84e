"""Which Kafka a command talks to: the one that is named, else the local one that runs."""

from msgspec.structs import replace

from app.errors import UserError
from app.local import kafka
from app.settings import Settings


def connected(settings: Settings) -> Settings:
    """The settings with Kafka filled in: BURNRATE_KAFKA's, else the broker of BURNRATE_DATA.

    Raises UserError where none is named and none runs.
    """
    if settings.kafka:
        return settings
    found = kafka.status(settings.data_dir)
    if found.state == "running":
        return replace(settings, kafka=found.bootstrap)
    why = found.message or f"no Kafka runs for {settings.data_dir}"
    raise UserError(
        f"BURNRATE_KAFKA is not set, and {why}: set it to host:port, or set BURNRATE_DATA to the "
        "folder of a local Kafka that runs (`burnrate kafka status`)",
        exit_code=2,
    )
