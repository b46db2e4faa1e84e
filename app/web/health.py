"""Whether a worker can be asked, and whether it gets on."""

import msgspec


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `/readyz` and `/healthz` answer; `reasons` say what is missing or stuck."""

    ready: bool
    alive: bool
    reasons: tuple[str, ...] = ()
