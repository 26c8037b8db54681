"""The one place that reads the environment: every setting, its meaning and its default.

Environment variables `TIPOFF_<NAME>` win over a TOML file named by `TIPOFF_CONFIG`, that over secret files in
`TIPOFF_SECRETS_DIR` (one file a setting), that over the defaults. `DATABASE_URL` and `REDIS_URL` are read as the
platforms set them. Every missing or wrong setting is named in one message.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from shared import setting_rules as rules

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_CHECKS: Mapping[str, Callable[[str], None]] = {
    "time_zone": rules.check_zone,
    "public_url": rules.check_web_address,
    "mail_from": rules.check_sender,
    "redis_url": rules.check_redis,
    "smtp_url": rules.check_relay,
}


class SettingsFault(ValueError):
    """Settings are missing or wrong; the message names each one."""


Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything an installation can be told."""

    model_config = SettingsConfigDict(
        env_prefix="TIPOFF_", frozen=True, extra="forbid", env_nested_delimiter="__", populate_by_name=True
    )

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("DATABASE_URL", "TIPOFF_DATABASE_URL", "database_url"),
        description="PostgreSQL 16 or newer, as postgresql://user:password@host/name",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL", "TIPOFF_REDIS_URL", "redis_url"),
        description="Redis or Valkey to wake workers up; without it workers poll PostgreSQL",
    )
    prepare_statements: bool = Field(default=True, description="off behind pgbouncer in transaction mode")
    secret_key: SecretStr = Field(
        min_length=32,
        description="signs links, derives endpoint secrets and seals addresses; 32 characters or more",
    )
    previous_secret_key: SecretStr | None = Field(
        default=None,
        description="the secret key before: what it sealed and signed is still read, until rotate-keys",
    )
    base_currency: str = Field(
        default="EUR", pattern="^[A-Z]{3}$", description="the one currency values rank in"
    )
    time_zone: str = Field(default="UTC", description="zone of order times that carry none")
    business_time: datetime | None = Field(
        default=None, description="fixes the business clock at this moment (with offset), to replay history"
    )
    business_begun: datetime | None = Field(
        default=None,
        description="the real moment (with offset) at which the business clock was TIPOFF_BUSINESS_TIME: it runs since",
    )
    business_rate: float = Field(
        default=1.0, gt=0, description="how fast a business clock that was begun runs: 1440 is a day a minute"
    )
    hook_secrets: Annotated[dict[str, tuple[SecretStr, ...]], NoDecode] = Field(
        default_factory=dict,
        description='signing secrets of inbound hooks by connection: {"standard": ["whsec_..."]}; any one verifies',
    )
    sending: Literal["shadow", "live"] = Field(
        default="shadow", description="shadow: everything is decided and shown, nothing is sent"
    )
    recipients: Words = Field(
        default=(),
        description="who may be sent to: addresses, @domains, @hosts of endpoints, or * for everyone",
    )
    operators: Words = Field(
        default=(),
        description="mail addresses told of deliveries that fail, where another channel than mail fails",
    )
    smtp_url: SecretStr | None = Field(
        default=None, description="smtp://user:password@host:587?starttls=required, or smtps://"
    )
    mail_from: str = Field(default="Tipoff <tipoff@localhost.localdomain>", description="sender of mails")
    loopback_origins: Words = Field(
        default=(),
        description="webhook receivers on this machine that may be reached: http://127.0.0.1:9000 ...",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8003", description="how reps reach the inbox; for links"
    )
    neighbours: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description='what the home page links to, by name: {"mails": "http://..."}'
    )
    page_refresh: int | None = Field(
        default=None, ge=1, description="the inbox reloads itself every so many seconds, for a demonstration"
    )
    pages_without_sign_in: Literal["on_loopback_only", "for_anyone_who_reaches_this_address"] = Field(
        default="on_loopback_only", description="who may open the inbox pages while nobody signs in"
    )
    group_wait: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(0),
        description="how long signals gather before they are ranked and sent",
    )
    group_interval: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(0),
        description="how long more of one cause waits, as one product mispriced on many orders; 0: each is told",
    )
    budget_per_rep: int = Field(
        default=5, ge=0, description="messages a rep may get a day; urgent ones not counted"
    )
    holdout_percent: int = Field(
        default=10,
        ge=0,
        le=50,
        description="share of customers left alone on purpose, each for a quarter of a year",
    )
    holdout_exempt: Words = Field(
        default=("key",), description="segments of customers of which nobody is left alone on purpose"
    )
    assumed_margin: Decimal = Field(
        default=Decimal("0.30"),
        gt=0,
        lt=1,
        description="margin rate where neither cost nor category's is known",
    )
    floor_margin: Decimal = Field(
        default=Decimal(0), ge=-1, lt=1, description="least margin rate; below is urgent"
    )
    effects: Annotated[dict[str, float], NoDecode] = Field(
        default_factory=dict,
        description='what acting does to the log odds of a good outcome, where not as assumed: {"cross_sell": 0.3}',
    )
    call_cost: Decimal = Field(default=Decimal(10), ge=0, description="what a call costs, base currency")
    correction_cost: Decimal = Field(
        default=Decimal(3), ge=0, description="what the correction of an order costs, base currency"
    )
    mention_cost: Decimal = Field(
        default=Decimal(0), ge=0, description="what a word beside another reason to call costs, base currency"
    )
    extracts: Path | None = Field(
        default=None,
        description="folder where order lines are kept by month in files, so that a fit reads what changed",
    )
    json_logs: bool | None = Field(default=None, description="JSON log lines; default: unless on a terminal")

    @field_validator("recipients", "operators", "loopback_origins", "holdout_exempt", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return rules.words(value)

    @field_validator("hook_secrets", "neighbours", "effects", mode="before")
    @classmethod
    def _read_table(cls, value: object) -> object:
        return rules.table(value)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The secret key, and the one before where one is set."""
        keys = (self.secret_key, self.previous_secret_key)
        return tuple(each.get_secret_value() for each in keys if each is not None)

    @field_validator("time_zone", "public_url", "mail_from")
    @classmethod
    def _check(cls, value: str, info: ValidationInfo) -> str:
        _CHECKS[info.field_name or ""](value)
        return value

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, value: SecretStr) -> SecretStr:
        return SecretStr(rules.database_url(value.get_secret_value()))

    @field_validator("previous_secret_key")
    @classmethod
    def _check_previous(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value().strip() else None

    @field_validator("redis_url", "smtp_url")
    @classmethod
    def _check_server(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        _CHECKS[info.field_name or ""](value.get_secret_value())
        return value

    @field_validator("operators")
    @classmethod
    def _check_operators(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            rules.check_address(each)
        return value

    @field_validator("recipients")
    @classmethod
    def _check_recipients(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            rules.check_recipient(each)
        return value

    @field_validator("hook_secrets")
    @classmethod
    def _check_secrets(cls, value: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        for secret in (each for secrets in value.values() for each in secrets):
            rules.check_secret(secret.get_secret_value())
        return value

    @field_validator("business_time", "business_begun")
    @classmethod
    def _has_offset(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("give it an offset, as 2011-02-28T18:00:00+00:00")
        if (
            value is not None
            and info.field_name == "business_begun"
            and info.data.get("business_time") is None
        ):
            raise ValueError("a business clock that runs needs a start: TIPOFF_BUSINESS_TIME")
        return value

    @property
    def clock_pace(self) -> float:
        """How much faster than real time business time passes; 0 where it is fixed."""
        if self.business_time is None:
            return 1.0
        return self.business_rate if self.business_begun is not None else 0.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - .env files are for the shell
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment, then the TOML file, then secret files."""
        file, _ = _config()
        toml = TomlConfigSettingsSource(settings_cls, file)
        return init_settings, env_settings, toml, file_secret_settings


def _config() -> tuple[Path | None, str | None]:
    """Return the TOML file, if one is named and can be read, else what is wrong with it."""
    named = os.environ.get("TIPOFF_CONFIG")
    if not named:
        return None, None
    try:
        tomllib.loads(Path(named).read_text("utf-8"))
    except OSError as fault:
        return None, f"TIPOFF_CONFIG: {named} cannot be read: {fault.strerror}"
    except ValueError as fault:
        return None, f"TIPOFF_CONFIG: {named} is no TOML: {fault}"
    return Path(named), None


def read() -> Settings:
    """Read the settings once. Raises SettingsFault naming every fault."""
    folder = os.environ.get("TIPOFF_SECRETS_DIR") or None
    is_folder = folder is None or Path(folder).is_dir()
    no_folder = None if is_folder else f"TIPOFF_SECRETS_DIR: there is no folder {folder}"
    _, no_config = _config()
    unknown = rules.unknown_names(os.environ, Settings.model_fields)
    faults = [
        *(each for each in (no_config, no_folder) if each is not None),
        *(f"{name}: there is no such setting" for name in unknown),
    ]
    try:
        settings = Settings(_secrets_dir=folder if is_folder else None)  # type: ignore[call-arg]
    except ValidationError as fault:
        faults += map(_told, fault.errors(include_url=False, include_input=False))
    except SettingsError as fault:
        faults.append(str(fault))
    if faults:
        raise SettingsFault("\n  ".join(["settings are missing or wrong:", *faults]))
    return settings


def _told(error: "ErrorDetails") -> str:
    """Return one fault by the name people set; a part of a table after it."""
    field, *parts = map(str, error["loc"])
    reason = "there is no such setting" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{'.'.join((rules.shown_name(field), *parts))}: {reason.removeprefix('Value error, ')}"
