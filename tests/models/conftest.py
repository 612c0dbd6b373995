"""Lets the tests of this folder import `golden`, the reader of tests/golden/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
