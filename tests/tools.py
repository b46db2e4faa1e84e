"""Programs that some tests drive and that only `.ci/run` installs: without them those are left out.

In CI (the variable that GitHub and others set) nothing is left out: what is missing fails there.
"""

import os
import shutil

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """Leaves a test out where one of the programs is not installed; `-ra` says which."""
    missing = [name for name in programs if shutil.which(name) is None]
    left_out = bool(missing) and not os.environ.get("CI")
    return pytest.mark.skipif(left_out, reason=f"not installed: {', '.join(missing)}")
