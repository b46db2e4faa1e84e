"""The same thoroughness of properties as the core's."""

from tests.core import conftest as thoroughness

__all__ = ["thoroughness"]
