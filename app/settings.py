"""What the environment says, read once at the start; names and defaults as in the README."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from app.clock import Clock, file_clock, wall_clock
from app.errors import UserError

DEFAULT_PORT = 5050


class KafkaSecurity(msgspec.Struct, frozen=True):
    """How the brokers are talked to; empty strings where nothing was set."""

    protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's surroundings. Times in seconds, paths absolute."""

    kafka: str = ""  # host:port[,host:port]; empty: the local Kafka is started
    security: KafkaSecurity = KafkaSecurity()
    topic_prefix: str = ""
    config_dir: Path = Path("config")
    data_dir: Path = Path(".burnrate")
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_token: str = ""
    read_token: str = ""
    log_level: str = "INFO"
    clock_file: str = ""
    pagerduty_url: str = "https://events.pagerduty.com"
    slack_url: str = "https://slack.com/api"
    public_url: str = ""  # how people reach the page; empty: http://host:port
    replay: bool = False  # judge on the data's own time
    send: bool = False  # a replay sends its notices, instead of printing them
    instance: str = ""  # names this worker in its consumer groups, kept over restarts

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read `BURNRATE_*` and its neighbours; raises UserError naming the variable at fault."""
        port = env.get("BURNRATE_PORT", str(DEFAULT_PORT))
        if not port.isdigit():
            raise UserError(
                f"BURNRATE_PORT is {port!r}: give a port number such as 5050", exit_code=2
            )
        return cls(
            kafka=env.get("BURNRATE_KAFKA", ""),
            security=KafkaSecurity(
                protocol=env.get("BURNRATE_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
                sasl_mechanism=env.get("BURNRATE_KAFKA_SASL_MECHANISM", ""),
                sasl_username=env.get("BURNRATE_KAFKA_SASL_USERNAME", ""),
                sasl_password=env.get("BURNRATE_KAFKA_SASL_PASSWORD", ""),
                ssl_cafile=env.get("BURNRATE_KAFKA_SSL_CAFILE", ""),
                ssl_certfile=env.get("BURNRATE_KAFKA_SSL_CERTFILE", ""),
                ssl_keyfile=env.get("BURNRATE_KAFKA_SSL_KEYFILE", ""),
            ),
            topic_prefix=env.get("BURNRATE_TOPIC_PREFIX", ""),
            config_dir=Path(env.get("BURNRATE_CONFIG", "config")).absolute(),
            data_dir=Path(env.get("BURNRATE_DATA", ".burnrate")).absolute(),
            host=env.get("BURNRATE_HOST", "127.0.0.1"),
            port=int(port),
            api_token=env.get("BURNRATE_API_TOKEN", ""),
            read_token=env.get("BURNRATE_READ_TOKEN", ""),
            log_level=env.get("BURNRATE_LOG_LEVEL", "INFO").upper(),
            clock_file=env.get("BURNRATE_CLOCK", ""),
            pagerduty_url=env.get("PAGERDUTY_EVENTS_URL", "https://events.pagerduty.com"),
            slack_url=env.get("SLACK_API_URL", "https://slack.com/api"),
            public_url=env.get("BURNRATE_PUBLIC_URL", ""),
            replay=env.get("BURNRATE_REPLAY", "") == "1",
            send=env.get("BURNRATE_SEND", "") == "1",
            instance=env.get("BURNRATE_INSTANCE", ""),
        )

    def clock(self) -> Clock:
        """The wall clock, or the file that stands for it in tests."""
        return file_clock(Path(self.clock_file)) if self.clock_file else wall_clock

    def page_url(self) -> str:
        """Where people find the page, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
