"""Rules and dashboard say what they mean: PromQL that parses, metrics that exist, an alert's page in the runbook."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from shared.metrics import (
    Backlog,
    DeliveryBacklog,
    DeliveryCollector,
    LogCollector,
    Metrics,
    QuarantineCollector,
    TaskCollector,
)

UNSENT = DeliveryBacklog({"email": 1}, {"email": 9.0}, {("email", "dead"): 1}, {"email": 1}, is_paused=False)
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/dashboards/tipoff.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text()

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries() -> list[str]:
    """Every PromQL expression of rules and dashboard, with Grafana's own variable filled in."""
    shown = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m") for each in shown] + [rule["expr"] for rule in RULES]


def table() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Every metric in shared/metrics.py by its name in queries: type, labels and meaning."""
    metrics = Metrics("a", "1")
    kept = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    kept += [
        each
        for each in metrics.registry._names_to_collectors.values()
        if isinstance(each, MetricWrapperBase) and each not in kept
    ]
    rows = {
        each._name + ("_total" if each._type == "counter" else ""): (
            str(each._type),
            tuple(each._labelnames),
            each._documentation,
        )
        for each in kept
    }
    backlog = Backlog("scoring", "score", due=1, waiting=1, leased=1, dead=1, oldest_due_seconds=1)
    for family in TaskCollector(lambda: [backlog]).collect():
        rows[family.name] = (family.type, tuple(family.samples[0].labels), family.documentation)
    for other in (
        *QuarantineCollector(lambda: {"standard": 1}).collect(),
        *DeliveryCollector(lambda: UNSENT).collect(),
        *LogCollector().collect(),
    ):
        name = other.name + ("_total" if other.type == "counter" else "")
        rows[name] = (other.type, tuple(other.samples[0].labels), other.documentation)
    return rows


def test_the_runbook_is_at_an_address() -> None:
    told = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert told["global"]["external_labels"] == {"runbook": "${TIPOFF_RUNBOOK_URL}"}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]
    assert ":-http://" in compose["environment"]["TIPOFF_RUNBOOK_URL"]
    assert "./docs/runbook.md:/etc/prometheus/user/runbook.md:ro" in compose["volumes"]
    assert "--web.user-assets=/etc/prometheus/user" in compose["command"]


@needs_promtool
def test_every_alert_fires_when_it_should_and_only_then() -> None:
    files = sorted(FOLDER.glob("*_test.yml"))
    assert "SUCCESS" in promtool("test", "rules", *files)
    tested = "".join(file.read_text() for file in files)
    assert {each["alert"] for each in ALERTS} == set(re.findall(r"alertname: (\w+)", tested))


@needs_promtool
def test_prometheus_understands_its_configuration() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(queries())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert "SUCCESS" in promtool("check", "rules", "--lint=none", file)


def test_queries_name_only_metrics_that_exist() -> None:
    known = set(table()) | {rule["record"] for rule in RULES if "record" in rule}
    known |= {f"{name}_bucket" for name, (kind, _, _) in table().items() if kind == "histogram"}
    for query in queries():
        named = set(re.findall(r"\b(?:tipoff[_:]|http_)[a-z0-9_:]+", query))
        assert named - known == set(), query


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    assert (
        alert["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbook }}}}#{alert['alert'].lower()}"
    )
    assert f"\n## {alert['alert']}\n" in RUNBOOK


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    assert set(re.findall(r"^## (Tipoff\w+)$", RUNBOOK, re.MULTILINE)) == {each["alert"] for each in ALERTS}


def test_every_metric_is_documented_as_it_is() -> None:
    documented = {
        name: (kind, tuple(labels.replace("`", "").split(", ")) if labels else (), meaning)
        for name, kind, labels, meaning in re.findall(
            r"^\| `([a-z_]+)` \| (\w+) \| (.*?) ?\| (.*?) \|", METRICS_PAGE, re.MULTILINE
        )
    }
    assert documented == table()


def test_grafana_is_told_where_the_dashboards_source_is() -> None:
    provisioned = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    uids = {each["uid"] for each in provisioned["datasources"]}
    assert {panel["datasource"]["uid"] for panel in PANELS} <= uids


def test_panels_do_not_overlap_and_each_has_its_number() -> None:
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
