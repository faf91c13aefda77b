"""One person at the console: the steps that journeys have in common, by what the person reads."""

from __future__ import annotations

import json
import re
import subprocess
import time
from itertools import count
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.local.running import Run

AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
PASSWORD = "correct horse battery staple"
SECONDS = 20.0
expect.set_options(timeout=SECONDS * 1000)
_numbers = count(1)


class Visit:
    """A browser of one person. `complaints` is what the browser's console said was wrong."""

    def __init__(self, page: Page, product: Run) -> None:
        self.page = page
        self.product = product
        self.url = f"http://localhost:{product.port}"
        self.complaints: list[str] = []
        self.email = f"person{next(_numbers)}@example.org"
        self.login = self.email
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, kind: str, text: str) -> None:
        # A page that is refused on purpose is told to the console, too.
        if kind == "error" and "status of 4" not in text:
            self.complaints.append(text)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def press(self, name: str) -> None:
        """Press the button or follow the link of that name."""
        target = self.page.get_by_role("main").get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("main").get_by_role("link", name=name, exact=True)
        target.or_(link).first.click()

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").fill(value)

    def see(self, text: str) -> Locator:
        found = self.page.get_by_role("main").get_by_text(text).first
        expect(found).to_be_visible(timeout=SECONDS * 1000)
        return found

    def sign_up(self) -> None:
        """Make an account, with the code of the letter."""
        self.go("/accounts/signup/")
        self.fill(email=self.email, password1=PASSWORD)
        self.press("Make the account")
        self.confirm_address()
        self.see("You are in no organization yet")

    def confirm_address(self) -> None:
        self.fill(code=self.read_letter(r"Your code is\s+([A-Z0-9-]+)"))
        self.press("Confirm")

    def sign_in(self, email: str, password: str) -> None:
        self.go("/accounts/login/")
        self.fill(login=email, password=password)
        self.press("Sign in")

    def sign_out(self) -> None:
        self.go("/accounts/logout/")
        self.press("Sign Out")

    def sign_in_as_operator(self) -> None:
        demo = self.product.read_demo()
        self.login = demo["DEMO_EMAIL"]
        self.sign_in(self.login, demo["DEMO_PASSWORD"])

    def make_organization(self, name: str) -> str:
        """Found an organization and return its address."""
        self.go("/organizations/new")
        self.fill(name=name)
        self.press("Make the organization")
        self.see(f"{name} is there.")
        return self.page.url.removeprefix(self.url)

    def make_key(self, organization: str, name: str) -> str:
        """Make a key and return its secret."""
        self.go(f"{organization}keys/new")
        self.fill(name=name)
        self.press("Make the key")
        return self.read_secret()

    def read_secret(self) -> str:
        secret = self.page.locator("#secret").text_content()
        assert secret
        return secret

    def read_letter(self, pattern: str) -> str:
        """Return what the newest letter to this person says, once it is there."""
        deadline = time.monotonic() + SECONDS
        log = self.product.data_dir / "logs" / "web.log"
        while time.monotonic() < deadline:
            letters = log.read_text(errors="replace").split("\nTo: ")
            ours = [letter for letter in letters if letter.startswith(self.email)]
            if ours and (found := re.search(pattern, ours[-1])):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(f"no letter to {self.email} says {pattern}")

    def call(self, secret: str, **more: object) -> tuple[int, dict[str, object]]:
        """Make a small call as a program does."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **more}
        command = f"""curl -s -w '\\n%{{http_code}}' {self.url}/v1/chat/completions
            -H "Authorization: Bearer {secret}" -H "Content-Type: application/json"
            -d '{json.dumps(body)}'"""
        return self.run(" ".join(command.split()))

    def run(self, command: str) -> tuple[int, dict[str, object]]:
        """Run a shell command that prints a JSON object and a status; return both."""
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        body, _, status = done.stdout.rpartition("\n")
        found: dict[str, object] = json.loads(body)
        return int(status), found

    def find_barriers(self) -> list[str]:
        """Return what axe calls serious or critical about this page."""
        self.page.evaluate(AXE.read_text())  # Not as a tag: the policy lets no such script in.
        found = self.page.evaluate("axe.run()")
        return [
            f"{self.page.url}: {each['id']} {each['nodes'][0]['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
