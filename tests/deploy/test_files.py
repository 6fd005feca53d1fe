"""The files in deploy/ and beside it are what their programs' schemas say, and agree with each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from kiroproxy.config import CREDENTIAL_SETTINGS, SETTINGS
from tests.deploy.balancers import tool

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = ("docker-compose.yml", "docker-compose.cluster.yml")
NAMES = {setting.name for setting in SETTINGS} | set(CREDENTIAL_SETTINGS)


def compose(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [tool(command[0]), *command[1:]], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_follow_the_specification(name: str) -> None:
    PyCompose.from_yaml((ROOT / name).read_text("utf-8"))


def test_a_wrong_compose_file_is_found() -> None:
    text = (ROOT / COMPOSE[0]).read_text("utf-8")
    with pytest.raises(ValueError, match="stop_grace"):
        PyCompose.from_yaml(text.replace("stop_grace_period: 45s", "stop_grace_period: soon"))


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_name_real_settings_secrets_and_files(name: str) -> None:
    file = compose(name)
    for service in file["services"].values():
        assert set(service.get("environment", {})) <= NAMES
        assert set(service.get("secrets", [])) <= set(file["secrets"])
        assert service["read_only"] is True
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (
                (ROOT / source).is_file() if source.startswith(".") else source in file["volumes"]
            )
        for value in service.get("environment", {}).values():
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_secrets_that_compose_files_read_cannot_be_committed_by_mistake() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert ".env" in ignored
    for name in COMPOSE:
        for secret in compose(name)["secrets"].values():
            folder = secret["file"].removeprefix("./").split("/")[0]
            assert f"/{folder}/" in ignored


def test_cluster_and_its_scrapes_are_the_same_instances() -> None:
    services = compose(COMPOSE[1])["services"]
    instances = sorted(name for name in services if name.startswith("kiroproxy"))
    assert len(instances) == 3
    addresses = [f"{name}:8080" for name in instances]
    balancer = (DEPLOY / "haproxy.cfg").read_text("utf-8")
    assert re.findall(r"\$\{KIROPROXY_\d-([^}]+)\}", balancer) == addresses
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": addresses}]
    secret = job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert secret in services["prometheus"]["secrets"]


def test_grace_times_are_longer_than_the_drain_time() -> None:
    drain_s = next(int(s.default) for s in SETTINGS if s.name == "KIROPROXY_DRAIN_S")
    for name in COMPOSE:
        for service, given in compose(name)["services"].items():
            if service != "prometheus":
                assert int(given["stop_grace_period"].removesuffix("s")) > drain_s
    deployment = manifests()["Deployment"]
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drain_s
    unit = (DEPLOY / "kiroproxy.service").read_text("utf-8")
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)[0]) > drain_s


def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents}


def test_env_file_cannot_move_what_the_compose_file_relies_on() -> None:
    """A .env from before may hold an address, a port and a folder of its own."""
    for name in COMPOSE:
        for service in compose(name)["services"].values():
            if "env_file" in service:
                given = service["environment"]
                assert (given["HOST"], given["PORT"]) == ("0.0.0.0", "8080")
                assert f"state:{given['KIROPROXY_STATE_DIR']}" in service["volumes"]


def test_memory_of_the_pod_holds_the_requests_it_takes() -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    limit_mb = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    processes = int(given["KIROPROXY_WORKERS"]) + 1
    # docs/security.md: a request takes three times its body.
    assert 3 * int(given["KIROPROXY_MAX_REQUEST_MB"]) + 64 * processes <= limit_mb


def test_state_of_the_pod_is_in_a_folder_that_is_its_own() -> None:
    """The root of a volume with fsGroup belongs to root, and its group may write there."""
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    assert "fsGroup" in pod["securityContext"]
    (container,) = pod["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "state")
    assert given["KIROPROXY_STATE_DIR"].startswith(f"{mount['mountPath']}/")


def test_kubernetes_manifest_follows_the_schema() -> None:
    found = manifests()
    assert set(found) == {"PersistentVolumeClaim", "Deployment", "Service"}
    for document in found.values():
        kubernetes_validate.validate(document, "1.30", strict=True)
    pod = found["Deployment"]["spec"]["template"]
    assert found["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert {each["name"] for each in container["env"]} <= NAMES
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_env_example_names_real_settings_and_passes() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    named = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.M)
    assert len(named) == len(set(named)) > 10
    assert set(named) <= NAMES
    defaults = {setting.name: setting.default for setting in SETTINGS}
    for name, value in re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", text, re.M):
        if name in defaults and not name.endswith("_FILE"):
            assert value == defaults[name], name


@pytest.mark.deploy
def test_prometheus_files_pass_promtool(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("a-key-of-the-test")
    text = (DEPLOY / "prometheus.yml").read_text("utf-8")
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/run/secrets/kiro_client_token", str(secret))
    )
    (tmp_path / "alerts.yml").write_text((DEPLOY / "alerts.yml").read_text("utf-8"))
    assert "2 rules found" in run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))


# The series are named as /metrics names them.
ALERTS = """
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'kiro2api_token_usage_remaining{account="low", instance="a"}'
        values: '20 9x20'
      - series: 'kiro2api_token_usage_remaining{account="fine", instance="a"}'
        values: '10x20'
      - series: 'kiro2api_requests_failed_total{instance="bad"}'
        values: '0+30x20'
      - series: 'kiro2api_requests_failed_total{instance="good"}'
        values: '0+3x20'
    alert_rule_test:
      - {eval_time: 5m, alertname: TokenUsageLow, exp_alerts: []}
      - eval_time: 7m
        alertname: TokenUsageLow
        exp_alerts:
          - exp_labels: {severity: warning, account: low, instance: a}
            exp_annotations:
              summary: "Kiro account low has 9 credits left"
              description: "Add an account, or wait for the reset that the dashboard shows."
      - eval_time: 15m
        alertname: HighErrorRate
        exp_alerts:
          - exp_labels: {severity: critical, instance: bad}
            exp_annotations:
              summary: "bad fails 0.50 requests a second"
              description: "kiroproxy_requests_failed_total tells which kind of failure it is."
"""


@pytest.mark.deploy
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text((DEPLOY / "alerts.yml").read_text("utf-8"))
    (tmp_path / "tests.yml").write_text(ALERTS)
    run("promtool", "test", "rules", "tests.yml", cwd=tmp_path)


def test_alerts_ask_for_metrics_that_exist() -> None:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    source = (ROOT / "kiroproxy" / "handlers" / "metrics.py").read_text("utf-8")
    named = {name for rule in rules for name in re.findall(r"kiro\w+_\w+", rule["expr"])}
    assert len(named) == 2
    assert all(f'"{name}"' in source for name in named)


@pytest.mark.deploy
def test_systemd_unit_is_sound_and_hardened(tmp_path: Path) -> None:
    text = (DEPLOY / "kiroproxy.service").read_text("utf-8")
    assert set(re.findall(r"^Environment=(\w+)=", text, re.M)) <= NAMES
    unit = tmp_path / "kiroproxy.service"
    unit.write_text(text.replace("/opt/kiroproxy/bin/kiroproxy", "/bin/true"))
    run("systemd-analyze", "verify", "--man=no", str(unit))
    # From 0 (safe) to 10; the program needs the network, which alone is 0.7.
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit))
