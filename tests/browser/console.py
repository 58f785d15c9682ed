"""The console as a person uses it: in a browser, by what is written on it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Response, expect

from local.parts import ROOT

SCREENSHOTS = ROOT / ".local" / "screenshots"
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LONGEST_MS = 30_000
"""A run of a small segment takes seconds; this is for a machine that does other things too."""

expect.set_options(timeout=LONGEST_MS)


@dataclass
class Console:
    """One person's window.

    Attributes:
        texts: Of the language the window shows, by key.
        errors: What the page complained about.
        requests: Everything the page asked for.
    """

    page: Page
    url: str
    language: str
    texts: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.texts = read_texts(self.language)
        self.page.set_default_timeout(LONGEST_MS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note_message)
        self.page.on("response", self._note_answer)
        self.page.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        # An answer such as 409 is also told as an error; the page deals with it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _note_answer(self, answer: Response) -> None:
        if answer.status >= 500:
            self.errors.append(f"{answer.status} {answer.url}")

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def t(self, key: str, **values: object) -> str:
        """Return a text in the window's language."""
        text = self.texts[key]
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def go(self, place: str = "") -> None:
        """Open a page of the console and wait until it is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/console/#/{place}")
        self.settled()

    def settled(self) -> None:
        """Wait until the page that was asked for is shown."""
        expect(self.page.locator("main h1")).to_be_visible()
        expect(self.page.locator("main[aria-busy]")).to_have_count(0)

    def click(self, key: str, within: Locator | None = None, **values: object) -> None:
        """Press the button or follow the link that says this."""
        place = within or self.page.locator("main")
        name = re.compile(rf"^{re.escape(self.t(key, **values))}(:|$)")
        place.get_by_role("button", name=name).or_(
            place.get_by_role("link", name=name)
        ).first.click()

    def answer(self, key: str) -> None:
        """Answer the question that is being asked."""
        self.click(key, self.page.locator("dialog"))

    def sees(self, text: str) -> None:
        """Wait until the text is on the page."""
        expect(self.page.locator("body")).to_contain_text(text)

    def choose(self, box: str, option: str) -> None:
        """Choose from a list that is searched by typing, with the keyboard alone."""
        field = self.page.get_by_role("combobox", name=box, exact=True)
        field.focus()
        self.page.keyboard.type(option[:6])
        self.page.get_by_role("option", name=option).first.wait_for()
        self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")

    def await_state(self, state: str) -> None:
        """Wait until the run that is shown stands so."""
        expect(self.page.locator(".standing .badge")).to_have_text(self.t(f"state.{state}"))

    def shoot(self, name: str, *, full: bool = True) -> Path:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}-{self.language}.png"
        self.page.screenshot(path=path, full_page=full, animations="disabled")
        return path

    def barriers(self) -> list[str]:
        """Return what axe-core finds, a line each."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def check_manners(self, *others: str) -> None:
        """Fail unless the page asked its own host only, by the rules, and without an error.

        Args:
            others: Hosts that a person is sent to.
        """
        hosts = {re.sub(r"^(https?://[^/]+).*", r"\1", each.url) for each in self.requests}
        hosts -= {"about:blank", *others}
        assert hosts == {self.url}, hosts
        for request in self.requests:
            if request.method in CHANGING and request.url.startswith(f"{self.url}/api/"):
                assert request.headers.get("x-requested-with") == "console", request.url
        assert not self.errors, self.errors


def read_texts(language: str) -> dict[str, str]:
    """Return a language's texts as the console has them."""
    source = (ROOT / "console" / f"texts.{language}.js").read_text(encoding="utf-8")
    entry = re.compile(r'^  (?:"([^"]+)"|(\w+)): ("(?:[^"\\]|\\.)*"),$', re.MULTILINE)
    return {quoted or plain: str(json.loads(text)) for quoted, plain, text in entry.findall(source)}
