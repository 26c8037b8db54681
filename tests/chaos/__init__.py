"""Chaos: what runs is killed, wiped and crashed; its harness says what it found when a promise does not hold."""

import pytest

pytest.register_assert_rewrite("tests.chaos.harness", "tests.chaos.installation")
