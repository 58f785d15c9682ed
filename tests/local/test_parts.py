"""What stands around the app on one machine."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local import demo, parts, start
from local.key_vault import KeyVault


def test_the_app_finds_its_containers_queues_and_secrets(
    settings: dict[str, str], key_vault: KeyVault
) -> None:
    with BlobServiceClient.from_connection_string(settings["SEGMENT_STORAGE"]) as blobs:
        assert [each.name for each in blobs.list_containers()] == [settings["SEGMENT_CONTAINER"]]
    with BlobServiceClient.from_connection_string(settings["EXPORT_STORAGE"]) as blobs:
        assert [each.name for each in blobs.list_containers()] == [settings["EXPORT_CONTAINER"]]
    with QueueServiceClient.from_connection_string(settings["EXPORT_STORAGE"]) as queues:
        names = [each.name for each in queues.list_queues()]

    assert names == ["export-jobs", "export-jobs-poison"]
    assert set(key_vault.secrets) == {"constant-contact-client-secret", "memory-hash-key"}


def test_the_app_is_served_at_its_public_url_with_every_function_the_portal_lists(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log, parts.host(settings, log=log) as process:
        health = requests.get(f"{settings['PUBLIC_URL']}/api/health", timeout=10)
        listed = requests.get(f"{settings['PUBLIC_URL']}/admin/functions", timeout=10).json()
    triggers = {function["name"]: function["trigger"] for function in listed}

    assert health.json() == {"status": "ok"}
    assert triggers["schedule_exports"] == "timerTrigger"
    assert triggers["start_run"] == "httpTrigger"
    assert triggers["perform_step"] == triggers["abandon_step"] == "queueTrigger"
    assert process.returncode == 0


def test_a_host_that_cannot_start_says_where_to_look(
    settings: dict[str, str], tmp_path: Path
) -> None:
    without = {**settings, "EXPORT_STORAGE": ""}
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        pytest.raises(parts.HostFailed, match="did not start"),
        parts.host(without, log=file),
    ):
        pass

    assert "EXPORT_STORAGE" in log.read_text()


def test_the_demo_exports_a_segment_and_accounts_for_everybody() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=parts.ROOT,
        env=os.environ | {"ROWS": "2000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.returncode == 0, result.stderr
    assert "Profiles read                            2,000" in result.stdout
    assert "Reconciled                                 yes" in result.stdout
    assert "The list holds exactly the" in result.stdout


@pytest.mark.parametrize("rows", ["many", "-5", "99"])
def test_the_demo_says_what_is_wrong_with_its_rows(rows: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=parts.ROOT,
        env=os.environ | {"ROWS": rows},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 1
    assert "ROWS has to be a number" in result.stderr


def test_the_demo_fails_when_the_list_is_not_what_it_should_be() -> None:
    run = {"state": "completed", "reconciled": True, "error": None}

    with pytest.raises(demo.DemoFailed, match="lacks 1 of the 2 expected addresses and has 1"):
        demo.check(run, {"a@example.com", "b@example.com"}, {"a@example.com", "c@example.com"})


def test_the_demo_fails_when_the_run_does_not_add_up() -> None:
    with pytest.raises(demo.DemoFailed, match="do not add up"):
        demo.check({"state": "completed", "reconciled": False}, set(), set())


def test_the_demo_fails_with_the_runs_own_sentence() -> None:
    error = {"code": "x", "message": "The list is gone.", "action": "Choose another."}

    with pytest.raises(demo.DemoFailed, match=r"The list is gone\. Choose another\."):
        demo.check({"state": "failed", "error": error, "reconciled": None}, set(), set())


def test_progress_is_a_line_per_state_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    bar = demo.Bar()
    counts = {"read": 10, "staged": 8, "accepted": 0}
    for state, progress in (("preparing", 0), ("preparing", 5), ("sending", 50)):
        bar.show({"state": state, "progress": progress, "counts": counts})
    bar.end()

    assert [line.split()[-7] for line in out.getvalue().splitlines()] == ["preparing", "sending"]


def test_start_keeps_the_app_up_until_it_is_told_to_stop() -> None:
    port = str(parts.free_port())
    with subprocess.Popen(
        [sys.executable, "-m", "local.start", "--port", port, "--rows", "200"],
        cwd=parts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        console = process.stdout.readline()
        up = requests.get(f"http://127.0.0.1:{port}/api/health", timeout=10)
        process.send_signal(signal.SIGINT)

        assert process.wait(30) == 0
    assert console.split() == ["Console", f"http://127.0.0.1:{port}/console/"]
    assert up.ok


def test_nothing_outlives_a_start_that_was_killed() -> None:
    port = parts.free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "local.start", "--port", str(port), "--rows", "200"],
        cwd=parts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert listens(port)
        process.kill()

    end = time.monotonic() + 20
    while listens(port):
        assert time.monotonic() < end, "the host is still there"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_core_tools_get_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.settings.json"
    monkeypatch.setattr(start, "SETTINGS_FILE", file)
    with parts.running() as running, start.settings_file(running):
        values = json.loads(file.read_text())["Values"]
        with pytest.raises(FileExistsError, match="is there already"), start.settings_file(running):
            pass

    assert values.items() >= running.settings.items()
    assert not file.exists()
