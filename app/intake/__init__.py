"""Kafka records in, digests and watermarks out. It holds no state that could be lost.

Offsets are committed at chunk starts only and after the digests are acknowledged, so a restart
reads at most one chunk of each partition again, and what it sends again changes nothing.
"""

from app.intake.intake import Intake

__all__ = ["Intake"]
