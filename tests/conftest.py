"""What the tests of every room share."""

import os
from pathlib import Path

import pytest

# The research data that some tests try the project on; it may not be copied into the project.
_DATA = Path(os.environ.get("TWOTOWER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder with MovieLens and Netflix files; the test is skipped where it is absent."""
    if not _DATA.is_dir():
        pytest.skip(f"no research data at {_DATA}; name its folder in TWOTOWER_TEST_DATA")
    return _DATA
