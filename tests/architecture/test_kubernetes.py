"""
What stands in ``docs/operations/kubernetes``, as far as it shows without a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from orchestrator import cli
from orchestrator.config import read_settings, unknown_settings
from tests.fixtures.containers import COMPOSE, ROOT
from workers.__main__ import _parser

OPERATIONS = ROOT / "docs" / "operations"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for path in sorted((OPERATIONS / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
SCALED = next(each for each in DOCUMENTS if each["kind"] == "ScaledObject")
PODS: Mapping[str, dict[str, Any]] = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in DOCUMENTS
    if each["kind"] in {"Deployment", "Job"}
}
VERSION = "1.37"


def environment(pod: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["containers"][0]["env"]}


def test_kubernetes_knows_every_field():
    ours = [each for each in DOCUMENTS if each is not SCALED]

    for each in ours:
        kubernetes_validate.validate(each, VERSION, strict=True)

    assert {each["kind"] for each in ours} == {
        *("Deployment", "Job", "PersistentVolumeClaim", "Service")
    }
    broken = {**PODS["assay-api"], "gracePeriod": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "spec": broken}, VERSION, strict=True
        )


def test_every_process_of_the_engine_is_there_and_has_what_it_has_in_compose():
    """Flower and the bundled workers besides the example are left to who wants them."""
    composed = yaml.safe_load(COMPOSE.read_text())["services"]

    for name in ("api", "dispatch", "consume", "beat", "maintain", "deliver"):
        pod = PODS[f"assay-{name}"]
        assert pod["containers"][0]["args"] == composed[name]["command"]
        kept = set(composed[name]["environment"]) - {"ASSAY_WEBHOOK_NETWORKS"}
        assert set(environment(pod)) == kept
    assert PODS["assay-migrate"]["containers"][0]["args"] == ["db", "upgrade"]


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_is_told_settings_that_there_are_and_files_that_it_has(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    pod = PODS[name]
    told = environment(pod)
    files = {
        f"/run/secrets/assay/{item['path']}"
        for volume in pod["volumes"]
        for item in volume.get("secret", {}).get("items", ())
    }
    for setting, value in told.items():
        if not setting.endswith("_FILE"):
            monkeypatch.setenv(setting, value)

    read_settings()
    assert unknown_settings() == []
    named = {value for key, value in told.items() if key.endswith("_FILE")}
    assert named == files
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = pod["containers"][0]["volumeMounts"]
    assert {mount["name"] for mount in mounts} == volumes


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_has_a_command_that_there_is_and_no_rights(name: str):
    pod = PODS[name]
    (container,) = pod["containers"]
    word, *rest = container["args"]

    if container["image"] == "assay-worker":
        assert _parser().parse_args([word, *rest]).name == rest[0]
    else:
        cli._compose(word)
        group: Any = get_command(cli.app)
        assert word in group.commands
    # Of a Service called assay-api they would set ASSAY_API_PORT.
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_replica_is_killed_later_than_it_gives_its_work_back():
    pod = PODS["assay-worker-yara"]
    grace = int(environment(pod)["ASSAY_STOP_GRACE_SECONDS"])

    assert pod["terminationGracePeriodSeconds"] >= grace + 20


def metrics_of(text: str) -> Iterator[str]:
    for name in re.findall(r"\bassay_\w+", text):
        yield name.removesuffix("_total")


def test_the_scaler_asks_as_the_page_says_for_metrics_that_there_are():
    """That the page of metrics has what a scrape has is tested with the metrics."""
    (trigger,) = SCALED["spec"]["triggers"]
    asked = " ".join(trigger["metadata"]["query"].split())
    page = (OPERATIONS / "autoscaling.md").read_text()
    known = set(metrics_of((OPERATIONS / "metrics.md").read_text()))

    written = re.search(r"```promql\n(.+)\n```", page)

    assert written is not None
    assert asked == written[1]
    # There promtool runs it.
    assert f" {asked}\n" in (OPERATIONS / "alerts.test.yml").read_text()
    assert set(metrics_of(asked)) == {"assay_tasks_open", "assay_worker_paused"}
    assert set(metrics_of(asked)) <= known
    assert SCALED["spec"]["scaleTargetRef"]["name"] in PODS
    assert f'worker="{PODS["assay-worker-yara"]["containers"][0]["args"][1]}"' in asked


def test_the_number_of_replicas_is_the_scalers_alone():
    (worker,) = (
        each
        for each in DOCUMENTS
        if each["kind"] == "Deployment"
        and each["metadata"]["name"] == SCALED["spec"]["scaleTargetRef"]["name"]
    )

    assert "replicas" not in worker["spec"]
    assert SCALED["spec"]["minReplicaCount"] == 0
    assert SCALED["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
