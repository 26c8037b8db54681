"""The command line says what is wrong in one line and a hint, and loads a command when it is called."""

import pytest
from click.testing import CliRunner

from services.cli import COMMANDS, main


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://tipoff:hidden@/tipoff?host=/nowhere")
    monkeypatch.setenv("TIPOFF_SECRET_KEY", "k" * 32)
    return monkeypatch


def test_every_command_is_where_the_list_says() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", [["token", "list"], ["sending", "status"], ["migrate"]], ids=" ".join)
def test_a_database_that_is_away_is_a_line_and_a_hint(command: list[str]) -> None:
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "the database is away" in result.output
    assert "hint:" in result.output
    assert "hidden" not in result.output
    assert "Traceback" not in result.output


def test_wrong_settings_end_a_command_with_every_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_SECRET_KEY", "short")
    environment.setenv("TIPOFF_SENDING", "maybe")
    result = CliRunner().invoke(main, ["token", "list"])
    assert result.exit_code == 1
    assert "TIPOFF_SECRET_KEY" in result.output
    assert "TIPOFF_SENDING" in result.output
