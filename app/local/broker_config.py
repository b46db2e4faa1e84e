"""How the local broker is set: a whole Kafka for one machine, small, quick to start and to find."""

SCRATCH = "scratch"
"""A folder in the broker's working folder."""

JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",  # the two make a start a third quicker, and 512 MB is too small for G1
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # leaves files in /tmp when killed
    "-XX:+ExitOnOutOfMemoryError",  # half a broker is worse than none
    "-Djava.awt.headless=true",
    f"-Djava.io.tmpdir={SCRATCH}",  # native codecs are unpacked there; /tmp may be noexec
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)

_DAYS_MIN = 24 * 60

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",  # topics have partitions and retention on purpose
    "broker.session.timeout.ms": "6000",  # after a kill it waits out its own old registration
    # one broker: internal topics of one partition and one replica
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",  # no fleet of consumers comes up at once
    "offsets.retention.minutes": str(40 * _DAYS_MIN),  # longer than any topic here is kept
    "message.max.bytes": "1100000",  # clients send up to 1 MB, and the batch has a head
    # compaction touches closed segments only, and by default they close at 100 MB or 7 days
    "offsets.topic.segment.bytes": "4194304",
    "transaction.state.log.segment.bytes": "4194304",
    "log.cleaner.dedupe.buffer.size": "16777216",  # of 512 MB; the default takes 128
    "log.cleaner.backoff.ms": "5000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def properties(port: int, controller_port: int, folder: str) -> str:
    """The text of `server.properties`.

    `folder` is relative to the working folder of the broker, so that a path with a comma, a
    backslash or a letter beyond ASCII needs no escaping.
    """
    listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
    settings = _SETTINGS | {
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": listeners,
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": folder,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
