"""Text that names code between backticks, and kinds of values, as the document of the API has
them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from console.reference import Kind

register = template.Library()
_TICKED = re.compile(r"`([^`]+)`")


@register.filter
def ticked(text: str) -> SafeString:
    """Return the text as HTML, escaped, with what stands between backticks as code."""
    return mark_safe(_TICKED.sub(r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped.


@register.filter
def linked(kind: Kind) -> SafeString:
    """Return the words of a kind as HTML, with links to the schemas that they name."""
    words: str = escape(kind.words)
    for name in kind.links:
        words = re.sub(rf"\b{name}\b", f'<a href="#{name}">{name}</a>', words, count=1)
    return mark_safe(words)  # noqa: S308 - escaped, and names are the document's own.
