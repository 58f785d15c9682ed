"""``make demo``: one export from end to end, on real parts, through the app's public API only.

Ends with exit status 0 when everybody in the segment is accounted for and the list holds
exactly whom it should, else with 1 and the reason. ``ROWS`` says how many profiles.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import requests
from azure.core.exceptions import AzureError

from local import parts
from local.azurite import AzuriteMissing
from local.constant_contact import ConstantContact
from local.parts import Parts
from local.segments import Segment

LIST = "Spring renewals"
LOG = parts.ROOT / ".local" / "demo.log"
ENDED = {"completed", "failed", "cancelled"}
UNSUBSCRIBED, REFUSED = 25, 10  # people in the segment whom Constant Contact will not add
STALLED_SECONDS = 300

REASONS = {
    "missing_email": "without an email address",
    "invalid": "with an invalid address",
    "duplicate": "the same address again",
    "excluded": "in an excluded segment",
    "no_consent": "without consent",
    "unchanged": "unchanged since last time",
}


class DemoFailed(Exception):
    """The demo did not end as it should; the sentence says why."""


FAILURES = (
    *(AzuriteMissing, DemoFailed, parts.HostFailed),
    *(requests.RequestException, AzureError),
)


def main() -> None:
    """Run the demo and end with its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(_rows())
    except KeyboardInterrupt:
        sys.exit(130)
    except FAILURES as error:
        log = f"\nThe app's log is in {LOG.relative_to(parts.ROOT)}." if LOG.exists() else ""
        sys.exit(f"\nThe demo failed: {error}{log}")


def run(rows: int) -> None:
    """Export a segment of *rows* profiles and raise `DemoFailed` unless all is well."""
    LOG.parent.mkdir(exist_ok=True)
    steps = Steps()
    with LOG.open("w") as log, parts.running() as running:
        steps.done("Azurite, Key Vault and Constant Contact started")
        # Quicker than on Azure, so that a step that always fails ends the demo within seconds.
        # The timer is called by hand, so that it does not come in between.
        pace = ("--poll-seconds", "0.5", "--retry-seconds", "2", "--timers", "off")
        with parts.host(running.settings, *pace, log=log):
            steps.done("Functions host started")
            segment = Segment(rows=rows)
            upload(running, segment)
            unwelcome = seed(running.constant_contact, segment)
            expected = segment.addresses() - unwelcome
            steps.done(f"Segment of {rows:,} profiles in {segment.partitions} files uploaded")
            api = Api(running.url)
            connection = connect(api)
            steps.done("Constant Contact account connected")
            export, list_id = save_export(api, connection, segment)
            steps.done("Export saved")
            finished = follow(api, start_run(api, export))
            steps.done("Run ended")
            show(finished)
            check(finished, expected, running.constant_contact.members(list_id))

            refreshed = replace(segment, revision=1)
            upload(running, refreshed)
            expected |= refreshed.addresses() - unwelcome
            steps.done("\nThe segment was refreshed: some joined, some left, some changed")
            await_snapshot(api, segment.name)
            finished = follow(api, run_by_timer(api, export))
            steps.done("Run by the timer ended")
            show(finished)
            check(finished, expected, running.constant_contact.members(list_id))
            require_rest(api, export)
            steps.done("The timer came again and found nothing new")


class Api:
    """The app's HTTP API; a refusal becomes a `DemoFailed` with the app's own sentence."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between this machine and itself

    def get(self, path: str) -> Any:
        return self._send("GET", path).json()

    def post(self, path: str, body: Any = None) -> requests.Response:
        return self._send("POST", path, json=body or {})

    def visit(self, url: str) -> requests.Response:
        """Go where a browser is sent, one step."""
        return self._session.get(url, allow_redirects=False, timeout=60)

    def _send(self, method: str, path: str, **content: Any) -> requests.Response:
        answer = self._session.request(method, self._url + path, timeout=60, **content)
        if answer.ok:
            return answer
        if "json" not in answer.headers.get("Content-Type", ""):
            raise DemoFailed(f"{method} {path} answered {answer.status_code}.")
        problem = answer.json()
        faults = "; ".join(
            f"{fault['field']}: {fault['message']}" for fault in problem.get("errors", ())
        )
        raise DemoFailed(f"{method} {path}: {problem['detail']} {faults}".strip())


def upload(running: Parts, segment: Segment) -> None:
    """Write the segment where Customer Insights would."""
    with running.segments as account:
        segment.upload(account.get_container_client(parts.SEGMENTS))


def seed(constant_contact: ConstantContact, segment: Segment) -> set[str]:
    """Prepare the account; return the addresses that it will not put on a list."""
    constant_contact.add_list(LIST)
    constant_contact.add_custom_field("Loyalty tier")
    addresses = sorted(segment.addresses())
    unwelcome = addresses[:: max(1, len(addresses) // (UNSUBSCRIBED + REFUSED))]
    for address in unwelcome[:UNSUBSCRIBED]:
        constant_contact.add_contact(address)
        constant_contact.unsubscribe(address)
    for address in unwelcome[UNSUBSCRIBED : UNSUBSCRIBED + REFUSED]:
        constant_contact.refuse(address)
    return set(unwelcome[: UNSUBSCRIBED + REFUSED])


def connect(api: Api) -> str:
    """Make a connection and give the consent a person would give in a browser."""
    body = {
        "display_name": "Main account",
        "usable_by": ["Administrator"],
        "consent": {"accepted": True},
    }
    connection = api.post("/api/connections", body).json()["id"]
    authorization = api.post(f"/api/connections/{connection}/authorize").json()
    approved = api.visit(authorization["authorization_url"])
    if approved.status_code != 302:
        raise DemoFailed("Constant Contact did not send the person back.")
    returned = api.visit(approved.headers["Location"])
    if returned.status_code != 302:
        raise DemoFailed(f"The callback answered {returned.status_code}.")
    return str(connection)


def save_export(api: Api, connection: str, segment: Segment) -> tuple[str, str]:
    """Save the standing order; return its id and the list's."""
    lists = {
        each["name"]: each["id"] for each in items(api, f"/api/connections/{connection}/lists")
    }
    fields = {
        each["label"]: each["key"] for each in items(api, f"/api/connections/{connection}/fields")
    }
    await_snapshot(api, segment.name)
    body = {
        "display_name": LIST,
        "connection_id": connection,
        "segments": [{"name": segment.name, "list_ids": [lists[LIST]]}],
        "mapping": {
            "email": "EMailAddress1",
            "first_name": "FirstName",
            "last_name": "LastName",
            fields["Loyalty tier"]: "LoyaltyTier",
        },
        "schedule": "refresh",
    }
    return str(api.post("/api/exports", body).json()["id"]), str(lists[LIST])


def items(api: Api, path: str | None) -> Iterator[Any]:
    """Yield every item of a collection, over its pages."""
    while path:
        page = api.get(path)
        yield from page["items"]
        path = page["next"]


def await_snapshot(api: Api, name: str) -> None:
    """Wait until the app takes the segment's newest snapshot for complete."""
    end = time.monotonic() + STALLED_SECONDS
    while not any(
        each["name"] == name and each["complete"] for each in items(api, "/api/segments")
    ):
        if time.monotonic() > end:
            raise DemoFailed("The app does not take the segment for complete.")
        time.sleep(0.2)


def start_run(api: Api, export: str) -> str:
    """Start a run and return its path."""
    return str(api.post(f"/api/exports/{export}/runs").headers["Location"])


def run_by_timer(api: Api, export: str) -> str:
    """Call the timer as the portal's Test/Run does; return the path of the run it starts."""
    before = len(list(items(api, f"/api/exports/{export}/runs")))
    call_timer(api)
    runs = list(items(api, f"/api/exports/{export}/runs"))
    if len(runs) == before:
        raise DemoFailed("The timer did not start a run for the new snapshot.")
    return f"/api/runs/{export}/{runs[0]['id']}"


def require_rest(api: Api, export: str) -> None:
    """Call the timer once more and see that it starts nothing."""
    before = [run["id"] for run in items(api, f"/api/exports/{export}/runs")]
    call_timer(api)
    if before != [run["id"] for run in items(api, f"/api/exports/{export}/runs")]:
        raise DemoFailed("The timer started a run although nothing new had come.")


def call_timer(api: Api) -> None:
    """Have the timer's function run once, and wait until the host says that it has."""
    said = "Executed schedule_exports"
    before = LOG.read_text(encoding="utf-8").count(said)
    api.post("/admin/functions/schedule_exports", {"input": ""})
    end = time.monotonic() + STALLED_SECONDS
    while LOG.read_text(encoding="utf-8").count(said) == before:
        if time.monotonic() > end:
            raise DemoFailed("The timer's function does not end.")
        time.sleep(0.2)


def follow(api: Api, path: str) -> dict[str, Any]:
    """Show the run's progress until it has ended; return the run."""
    bar = Bar()
    last, since = "", time.monotonic()
    while True:
        run: dict[str, Any] = api.get(path)
        bar.show(run)
        if run["state"] in ENDED or run["state"] == "held":
            bar.end()
            return run
        if run["updated_at"] != last:
            last, since = run["updated_at"], time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            bar.end()
            raise DemoFailed(f"The run has been {run['state']} for {STALLED_SECONDS} s.")
        time.sleep(0.25)


class Steps:
    """Says what has been done and how long it took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        print(f"{what} ({now - self._since:.1f} s)", flush=True)
        self._since = now


class Bar:
    """A run's progress: a line that changes; without a terminal, one per state or ten percent."""

    WIDTH = 30

    def __init__(self) -> None:
        self._tty = sys.stdout.isatty()
        self._shown: tuple[str, int] | None = None

    def show(self, run: dict[str, Any]) -> None:
        done = run["progress"] * self.WIDTH // 100
        counts = run["counts"]
        line = (
            f"[{'#' * done}{'.' * (self.WIDTH - done)}] {run['progress']:3} %  {run['state']:<9}  "
            f"read {counts['read']:,}  staged {counts['staged']:,}  accepted {counts['accepted']:,}"
        )
        if self._tty:
            print(f"\r\033[K{line}", end="", flush=True)
        elif self._shown != (run["state"], run["progress"] // 10):
            print(line, flush=True)
        self._shown = (run["state"], run["progress"] // 10)

    def end(self) -> None:
        if self._tty:
            print()


def show(run: dict[str, Any]) -> None:
    """Print what became of everybody."""
    counts = run["counts"]
    print()
    line("Profiles read", counts["read"])
    for key, text in REASONS.items():
        line(f"  {text}", counts[key])
    line("Staged for sending", counts["staged"])
    line("  accepted", counts["accepted"])
    line("  refused by Constant Contact", counts["refused"])
    line("  unsubscribed there, left alone", counts["suppressed"])
    line("Values shortened to fit", counts["shortened_values"])
    line("Import files", len(run["batches"]))
    line("Calls to Constant Contact", run["calls"])
    for phase, seconds in run["phases"].items():
        line(f"Seconds {phase}", f"{seconds:.1f}")
    line("Reconciled", "yes" if run["reconciled"] else "no")


def line(name: str, value: int | str) -> None:
    shown = f"{value:,}" if isinstance(value, int) else value
    print(f"{name:<34}{shown:>12}")


def check(run: dict[str, Any], expected: set[str], members: set[str]) -> None:
    """Raise `DemoFailed` unless the run says, and the list shows, that all went well."""
    if run["state"] != "completed":
        error = run["error"] or {"message": f"The run ended {run['state']}.", "action": ""}
        raise DemoFailed(f"{error['message']} {error.get('action', '')}".strip())
    if not run["reconciled"]:
        raise DemoFailed("The counts do not add up.")
    if members != expected:
        raise DemoFailed(
            f"The list lacks {len(expected - members):,} of the {len(expected):,} expected "
            f"addresses and has {len(members - expected):,} others."
        )
    print(f"The list holds exactly the {len(expected):,} expected addresses.")


def _rows() -> int:
    text = os.environ.get("ROWS", "100000").replace("_", "").replace(",", "")
    if not (text.isascii() and text.isdigit() and 100 <= int(text) <= 5_000_000):
        raise DemoFailed("ROWS has to be a number from 100 to 5,000,000.")
    return int(text)


if __name__ == "__main__":
    main()
