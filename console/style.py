"""/style: every token and component of the console on one page, for whoever changes them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from console.forms import Reason
from console.shell import show

COLOURS = (
    *("ground", "surface", "sunken", "line", "line-strong", "ink", "ink-quiet", "bar", "brand"),
    *("brand-soft", "link", "amber", "good", "good-soft", "warn", "warn-soft", "bad", "bad-soft"),
    *("bad-solid", "chart-1", "chart-2", "focus"),
)
LEVELS = ("info", "good", "warn", "bad")
METERS = ((0, "0 of 100"), (42, "42 of 100"), (91, "91 of 100"), (100, "130 of 100"))


def show_style(request: HttpRequest) -> HttpResponse:
    form = Reason({"reason": "x" * 201})
    form.is_valid()
    return show(
        request,
        "style",
        colours=COLOURS,
        levels=LEVELS,
        meters=METERS,
        form=form,
    )
