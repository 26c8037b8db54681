"""Settings are read once, complain once, and are documented as they are."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from services.administration import settings_table
from shared.settings import Settings, SettingsFault, read
from shared.signing import new_secret

KEY = "k" * 32
SECRET, OTHER_SECRET = new_secret(), new_secret()
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
    environment.setenv("TIPOFF_HOOK_SECRETS", json.dumps({"standard": [SECRET]}))
    shown = repr(read())
    assert KEY not in shown
    assert SECRET not in shown


def test_every_fault_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_SECRET_KEY", "short")
    environment.setenv("TIPOFF_SENDING", "perhaps")
    environment.setenv("TIPOFF_BUSINESS_TIME", "2011-02-28T18:00:00")
    with pytest.raises(SettingsFault) as fault:
        read()
    message = str(fault.value)
    assert all(name in message for name in ("TIPOFF_SECRET_KEY", "TIPOFF_SENDING", "TIPOFF_BUSINESS_TIME"))
    assert "short" not in message


def test_a_business_clock_that_runs_needs_a_start(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_BUSINESS_BEGUN", "2026-11-28T09:00:00+00:00")
    with pytest.raises(
        SettingsFault, match="TIPOFF_BUSINESS_BEGUN: a business clock that runs needs a start"
    ):
        read()


@pytest.mark.parametrize(
    ("told", "pace"),
    [
        pytest.param({}, 1, id="real time"),
        pytest.param({"TIME": "2010-10-01T00:00:00+00:00"}, 0, id="fixed"),
        pytest.param(
            {
                "TIME": "2010-10-01T00:00:00+00:00",
                "BEGUN": "2026-11-28T09:00:00+00:00",
                "RATE": "1440",
            },
            1440,
            id="a day a minute",
        ),
    ],
)
def test_business_time_passes_as_told(
    environment: pytest.MonkeyPatch, told: dict[str, str], pace: float
) -> None:
    for name, value in told.items():
        environment.setenv(f"TIPOFF_BUSINESS_{name}", value)
    assert read().clock_pace == pace


def test_a_database_is_reached_by_our_driver(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgres://user:word@db/tipoff")
    assert read().database_url.get_secret_value() == "postgresql+psycopg://user:word@db/tipoff"
    environment.setenv("DATABASE_URL", "hunter2")
    with pytest.raises(SettingsFault, match="DATABASE_URL: must begin with postgresql://") as fault:
        read()
    assert "hunter2" not in str(fault.value)


def test_lists_are_words_and_durations_iso(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIPOFF_RECIPIENTS", "ann@shop.example, @sales.example")
    environment.setenv("TIPOFF_GROUP_WAIT", "PT90S")
    settings = read()
    assert settings.recipients == ("ann@shop.example", "@sales.example")
    assert settings.group_wait == timedelta(seconds=90)


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
        "hook_secrets": json.dumps({"standard": [SECRET, OTHER_SECRET]}),
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
    assert [each.get_secret_value() for each in settings.hook_secrets["standard"]] == [SECRET, OTHER_SECRET]
    assert settings.smtp_url is not None


def test_a_new_installation_sends_nothing(environment: pytest.MonkeyPatch) -> None:
    assert read().sending == "shadow"


def faults_of(environment: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsFault) as fault:
        read()
    return str(fault.value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TIPOFF_HOOK_SECRETS", "{bad", "is no JSON"),
        ("TIPOFF_HOOK_SECRETS", '{"standard": ["whsec_hidden"]}', "a webhook secret must"),
        ("TIPOFF_HOOK_SECRETS__STANDARD", "[bad", "TIPOFF_HOOK_SECRETS.standard"),
        ("TIPOFF_NEIGHBOURS", "mails", "is no JSON"),
        ("TIPOFF_TIME_ZONE", "Mars/Base", "is no time zone"),
        ("TIPOFF_TIME_ZONE", "Europe", "is no time zone"),
        ("TIPOFF_GROUP_WAIT", "-PT1S", "greater than or equal"),
        ("TIPOFF_PUBLIC_URL", "inbox.example", "must be http://host"),
        ("TIPOFF_PUBLIC_URL", "https://", "must be http://host"),
        ("REDIS_URL", "http://redis:6379", "must begin with redis://"),
        ("TIPOFF_MAIL_FROM", "Tipoff", "must be one mail address"),
        ("TIPOFF_MAIL_FROM", "a@x.example, b@x.example", "must be one mail address"),
        ("TIPOFF_RECIPIENTS", "ann@x.example bob", "'bob' is neither"),
        ("TIPOFF_RECIPIENTS", "@", "'@' is neither"),
        ("TIPOFF_SMTP_URL", "http://word@mails", "must be smtps://host"),
        ("TIPOFF_SMTP_URL", "smtp://mails?starttls=word", "must be smtps://host"),
        ("TIPOFF_SMTP_URL", "smtp://mails:word", "must be smtps://host"),
        ("TIPOFF_RECIPENTS", "*", "there is no such setting"),
        ("TIPOFF_CONFIG", "/nowhere/tipoff.toml", "cannot be read"),
        ("TIPOFF_SECRETS_DIR", "/nowhere", "there is no folder"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_set(
    environment: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    message = faults_of(environment, **{name: value})
    assert reason in message
    assert name in message or name.partition("__")[1]
    assert not any(secret in message for secret in ("hidden", "word"))


def test_faults_of_every_kind_stand_in_one_message(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tipoff.toml").write_text("sending = \n")
    environment.delenv("DATABASE_URL")
    message = faults_of(
        environment,
        TIPOFF_CONFIG=str(tmp_path / "tipoff.toml"),
        TIPOFF_HOOK_SECRETS="{bad",
        TIPOFF_SETLE="PT1M",
        TIPOFF_TIME_ZONE="Mars/Base",
    )
    names = (
        "TIPOFF_CONFIG",
        "TIPOFF_HOOK_SECRETS",
        "TIPOFF_SETLE",
        "TIPOFF_TIME_ZONE",
        "\n  DATABASE_URL: Field",
    )
    assert [name for name in names if name not in message] == []


def test_a_misspelt_name_in_the_file_is_named(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tipoff.toml").write_text('sendin = "live"\n')
    message = faults_of(environment, TIPOFF_CONFIG=str(tmp_path / "tipoff.toml"))
    assert "TIPOFF_SENDIN: there is no such setting" in message


def test_what_can_be_used_is_taken(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tipoff.toml").write_text('sending = "live"\n[neighbours]\nmails = "http://mails"\n')
    for name, value in {
        "TIPOFF_CONFIG": str(tmp_path / "tipoff.toml"),
        "TIPOFF_HOOK_SECRETS__STANDARD": json.dumps([SECRET]),
        "TIPOFF_SMTP_URL": "smtp://tipoff:word@mails:1025?starttls=never",
        "REDIS_URL": "unix:///run/redis.sock",
        "TIPOFF_RECIPIENTS": "ann@x.example, @y.example *",
        "TIPOFF_GROUP_WAIT": "PT0S",
        "TIPOFF_REFERENCE": "/somewhere",
        "TIPOFF_INGEST_SERVICE_HOST": "10.0.0.1",
        "TIPOFF_INGEST_PORT_8001_TCP": "tcp://10.0.0.1:8001",
    }.items():
        environment.setenv(name, value)
    settings = read()
    assert (settings.sending, settings.neighbours) == ("live", {"mails": "http://mails"})
    assert settings.hook_secrets["standard"][0].get_secret_value() == SECRET
    assert settings.recipients == ("ann@x.example", "@y.example", "*")
