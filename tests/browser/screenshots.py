"""`make screenshots`: every page as a picture, light and dark, wide and narrow, in screenshots/."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import NAMES
from tests.browser.pages import OUTSIDE, PAGES, furnish
from tests.browser.visit import Visit
from tests.local.running import Run
from tests.product import run_product

FOLDER = Path(__file__).resolve().parents[2] / "screenshots"
WIDTHS = {"wide": 1280, "narrow": 390}


def main() -> None:
    path = next(each for name in NAMES if (each := shutil.which(name)))
    shutil.rmtree(FOLDER, ignore_errors=True)
    with run_product() as product, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        operator = open_page(chromium, product)
        operator.sign_in_as_operator()
        organization, found = furnish(operator, open_page(chromium, product))
        state = operator.page.context.storage_state()
        for width_name, width in WIDTHS.items():
            for theme in ("light", "dark"):
                shape = {"viewport": {"width": width, "height": 860}, "color_scheme": theme}
                inside = open_page(chromium, product, storage_state=state, **shape)
                take(inside, PAGES | found, organization, f"{width_name}-{theme}")
                outside = open_page(chromium, product, **shape)
                take(outside, OUTSIDE, organization, f"{width_name}-{theme}")
        chromium.close()


def open_page(chromium: Browser, product: Run, **options: Any) -> Visit:
    return Visit(chromium.new_context(**options).new_page(), product)


def take(visit: Visit, pages: dict[str, str], organization: str, folder: str) -> None:
    for name, path in pages.items():
        visit.go(path.format(o=organization))
        visit.page.screenshot(path=FOLDER / folder / f"{name}.png", full_page=True)


if __name__ == "__main__":
    main()
