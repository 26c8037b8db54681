"""Settings are read once, complain once, and are documented as they are."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.administration import settings_table
from shared.settings import Settings, SettingsFault, read

KEY = "k" * 32
DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://localhost/tipoff")
    monkeypatch.setenv("TIPOFF_SECRET_KEY", KEY)
    return monkeypatch


def test_every_setting_is_documented_as_it_is() -> None:
    assert settings_table() in DOCUMENT.read_text()


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_secrets_do_not_show(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_HOOK_SECRETS", '{"standard": ["whsec_hidden"]}')
    shown = repr(read())
    assert KEY not in shown
    assert "whsec_hidden" not in shown


def test_every_fault_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_SECRET_KEY", "short")
    environment.setenv("TIPOFF_SENDING", "perhaps")
    environment.setenv("TIPOFF_BUSINESS_TIME", "2011-02-28T18:00:00")
    with pytest.raises(SettingsFault) as fault:
        read()
    message = str(fault.value)
    assert all(name in message for name in ("secret_key", "sending", "business_time"))
    assert "short" not in message


def test_lists_are_words_and_durations_iso(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_RECIPIENTS", "ann@shop.example, @sales.example")
    environment.setenv("TIPOFF_SETTLE", "PT90S")
    settings = read()
    assert settings.recipients == ("ann@shop.example", "@sales.example")
    assert settings.settle == timedelta(seconds=90)


def test_secret_files_come_after_the_environment(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tipoff_secret_key").write_text("f" * 40)
    (tmp_path / "tipoff_base_currency").write_text("SEK")
    environment.setenv("TIPOFF_SECRETS_DIR", str(tmp_path))
    settings = read()
    assert settings.secret_key.get_secret_value() == KEY
    assert settings.base_currency == "SEK"


def test_every_secret_may_be_a_file_also_those_that_platforms_name_without_our_prefix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "TIPOFF_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    files = {
        "database_url": "postgresql+psycopg://tipoff:word@postgres/tipoff\n",
        "redis_url": "redis://tipoff:word@redis:6379/0",
        "secret_key": KEY,
        "hook_secrets": '{"standard": ["whsec_1", "whsec_2"]}',
        "smtp_url": "smtp://mails:1025?starttls=never",
    }
    for name, value in files.items():
        (tmp_path / f"tipoff_{name}").write_text(value)
    (tmp_path / "a_file_of_somebody_else").write_text("left alone")
    monkeypatch.setenv("TIPOFF_SECRETS_DIR", str(tmp_path))
    settings = read()
    assert settings.database_url.get_secret_value() == files["database_url"].strip()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == files["redis_url"]
    assert [each.get_secret_value() for each in settings.hook_secrets["standard"]] == ["whsec_1", "whsec_2"]
    assert settings.smtp_url is not None


def test_a_new_installation_sends_nothing(environment: pytest.MonkeyPatch) -> None:
    assert read().sending == "shadow"
