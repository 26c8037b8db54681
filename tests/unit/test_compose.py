"""The containers keep the promises of docs/operations.md: what docker-compose.yml says is read here, not run."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from services import cli
from shared.setting_rules import shown_name
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, each in SERVICES.items() if "tipoff" in each["image"] and name != "mails"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_every_part_is_there() -> None:
    assert set(SERVICES) == {
        *("postgres", "redis", "migrate", "ingest", "scoring", "alerts", "scoring-worker", "alerts-worker"),
        *("mails", "prometheus", "grafana"),
    }


@each_service
def test_is_published_on_this_machine_only(service: dict[str, Any]) -> None:
    assert [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in service


@each_service
def test_may_do_little(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
    assert service["pids_limit"] > 0
    assert service["mem_limit"]
    assert service.get("user") not in ("root", "0", 0)


@each_service
def test_mounts_nothing_of_this_machine_that_could_be_written(service: dict[str, Any]) -> None:
    from_here = [each for each in service.get("volumes", ()) if each.startswith((".", "/"))]
    assert [each for each in from_here if not each.endswith(":ro")] == []
    assert "docker.sock" not in str(service)


@each_service
def test_says_whether_it_is_well_without_a_shell(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    if check.get("disable"):
        assert service["restart"] == "on-failure:3"  # it ends by itself
    else:
        assert check["test"][0] == "CMD"
        assert service["restart"] == "always"


@each_service
def test_waits_for_health_and_not_for_a_start(service: dict[str, Any]) -> None:
    conditions = {each["condition"] for each in service.get("depends_on", {}).values()}
    assert conditions <= {"service_healthy", "service_completed_successfully"}


@each_service
def test_takes_secrets_as_files_only(service: dict[str, Any]) -> None:
    told = service.get("environment", {})
    suspicious = {
        name for name in told if re.search(r"PASSWORD|SECRET|DATABASE_URL|REDIS_URL|SMTP_URL", name)
    }
    assert {name for name in suspicious if not name.endswith(("_FILE", "__FILE", "_DIR"))} == set()
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_secrets_are_files_of_a_folder_that_git_and_docker_leave_alone() -> None:
    files = [each["file"] for each in COMPOSE["secrets"].values()]
    assert all(file.startswith("./secrets/") for file in files)
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    kept_out, *let_in = (
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] in "*!"
    )
    assert kept_out == "*"
    assert not any("secret" in line for line in let_in)


def test_make_secrets_makes_each_of_them_once_behind_a_closed_door(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = ROOT / "deploy" / "make_secrets.sh"
    subprocess.run([script, folder], check=True, capture_output=True)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made["tipoff_database_password"] in made["tipoff_database_url"]
    assert len(set(made.values())) == len(made)
    subprocess.run([script, folder], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


def test_what_is_mounted_can_be_read_in_a_checkout_that_was_closed_to_others(tmp_path: Path) -> None:
    for folder in ("deploy", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in tmp_path.rglob("*"):
        path.chmod(0o750 if path.is_dir() or path.suffix == ".sh" else 0o640)
    subprocess.run([tmp_path / "deploy" / "make_secrets.sh"], check=True, capture_output=True)
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    }
    files = [path for name in mounted for path in (tmp_path / name, *(tmp_path / name).rglob("*"))]
    assert len(files) > 5
    assert [path for path in files if not stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH] == []


def test_files_of_the_images_can_be_read_whatever_the_umask_of_the_checkout() -> None:
    into_runtime = re.findall(r"^COPY (?!--from)(.*/opt/.*)$", DOCKERFILE, re.MULTILINE)
    assert into_runtime
    assert [each for each in into_runtime if not each.startswith("--chmod=755 ")] == []


def test_postgres_is_well_when_tipoff_can_log_in() -> None:
    check = " ".join(SERVICES["postgres"]["healthcheck"]["test"])
    assert "psql" in check
    assert "--username=tipoff --dbname=tipoff" in check
    assert "/run/secrets/tipoff_database_password" in check
    assert "tipoff_database_password" in SERVICES["postgres"]["secrets"]


def test_rows_an_import_refuses_outlive_its_container() -> None:
    worker = SERVICES["scoring-worker"]
    assert worker["working_dir"] == "/imports"
    assert "imports:/imports" in worker["volumes"]
    assert "imports" in COMPOSE["volumes"]
    assert "--chown=10001:10001 /imports /imports" in DOCKERFILE


def test_order_lines_by_month_are_kept_where_the_worker_may_write() -> None:
    worker = SERVICES["scoring-worker"]
    assert worker["environment"]["TIPOFF_EXTRACTS"] == "/extracts"
    assert "extracts:/extracts" in worker["volumes"]
    assert "extracts" in COMPOSE["volumes"]
    assert "--chown=10001:10001 /extracts /extracts" in DOCKERFILE


@pytest.mark.parametrize("name", OURS)
def test_passes_every_setting_on(name: str) -> None:
    known = {shown_name(field) for field in Settings.model_fields}
    service = SERVICES[name]
    secrets = {
        *("DATABASE_URL", "REDIS_URL", "TIPOFF_SECRET_KEY", "TIPOFF_PREVIOUS_SECRET_KEY"),
        *("TIPOFF_HOOK_SECRETS", "TIPOFF_SMTP_URL"),
    }
    assert {f"TIPOFF_{each.removeprefix('TIPOFF_')}".lower() for each in secrets} == set(service["secrets"])
    pages_only = {"TIPOFF_NEIGHBOURS", "TIPOFF_PAGES_WITHOUT_SIGN_IN"} if name != "alerts" else set()
    assert set(service["environment"]) - {"TIPOFF_SECRETS_DIR"} == known - secrets - pages_only


@pytest.mark.parametrize("name", OURS)
def test_runs_a_command_that_tipoff_knows(name: str) -> None:
    command = SERVICES[name]["command"]
    assert SERVICES[name]["environment"]["TIPOFF_SECRETS_DIR"] == "/run/secrets"
    result = CliRunner().invoke(cli.main, [*command, "--help"])
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in command if word.startswith("--"))


def test_pages_are_opened_to_the_container_in_so_many_words_and_published_on_loopback() -> None:
    setting = "TIPOFF_PAGES_WITHOUT_SIGN_IN"
    assert {name for name in SERVICES if setting in SERVICES[name].get("environment", {})} == {"alerts"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["alerts"]["ports"])


def test_a_new_installation_sends_nothing() -> None:
    assert SERVICES["alerts-worker"]["environment"]["TIPOFF_SENDING"] == "${TIPOFF_SENDING:-shadow}"


def test_database_and_redis_are_reached_from_inside_only() -> None:
    assert COMPOSE["networks"]["data"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["data"]
        assert "ports" not in SERVICES[name]


def test_images_are_pinned() -> None:
    assert [each["image"] for each in SERVICES.values() if re.search(r":latest|^[^:]+$", each["image"])] == []


def test_the_image_runs_as_nobody_and_without_a_shell() -> None:
    assert "USER 10001:10001" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE
    arguments = re.findall(r"^(?:RUN|CMD|ENTRYPOINT) (.*)$", DOCKERFILE, re.MULTILINE)
    assert arguments
    assert [each for each in arguments if not each.startswith("[")] == []
    assert set(re.findall(r"requirements/\w+\.txt", DOCKERFILE)) == {
        f"requirements/{name}.txt" for name in ("pip", "build", "web", "worker", "mails")
    }
    assert DOCKERFILE.count("--require-hashes") == len(re.findall(r'"-r", "requirements/', DOCKERFILE))


def test_targets_that_are_built_exist() -> None:
    targets = {each["build"]["target"] for each in SERVICES.values() if "build" in each}
    assert targets <= set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
