"""Folders that tests read from."""

import pathlib

TESTS = pathlib.Path(__file__).parent.parent
ROOT = TESTS.parent
GOLDEN_CASES = TESTS / "golden" / "cases"  # networks of the original: configurations, inputs, outputs
GOLDEN_PIPELINE = TESTS / "golden" / "pipeline"  # the original's input pipeline, losses and metrics
SHARED = ROOT.parent / "shared"  # larger data beside the project; tests that need it are skipped where it is missing
