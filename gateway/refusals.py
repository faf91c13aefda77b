"""Calls that were not forwarded, gathered in memory until they are written once a second.

Refusals of the same key, code, quota and model within that second are one sample with a count, so
a client that asks a thousand times a second costs a row. Memory is bounded, what does not fit is
counted and dropped, and no message keeps anything that looks like a secret.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

from billing.refusals import Sample
from gateway.caller import Caller
from gateway.errors import GatewayError

MOST_SAMPLES = 500
LONGEST_MESSAGE = 500

# What providers' keys look like, and any long run of letters and digits.
_SECRETS = r"\b(?:sk|xai|pk|rk|gsk|tgp|key|AIza|ak)[-_][A-Za-z0-9*._-]{8,}|[A-Za-z0-9+=_]{40,}"

_Place = tuple[int | None, str, int | None, str]


class Refusals:
    """The samples since they were last taken."""

    def __init__(self, *, key_prefixes: Iterable[str]) -> None:
        ours = "|".join(re.escape(prefix) for prefix in key_prefixes)
        self._secret = re.compile(rf"\b(?:{ours})_[A-Za-z0-9]{{6,}}|{_SECRETS}")
        self._samples: dict[_Place, Sample] = {}
        self.dropped = 0

    def note(self, caller: Caller, error: GatewayError) -> None:
        """Keep that a call was refused."""
        key = caller.key
        quota = None if error.explanation is None else error.explanation.quota
        place = (None if key is None else key.id, error.code, quota, caller.model)
        known = self._samples.get(place)
        if known is not None:
            known.sampled += 1
        elif len(self._samples) >= MOST_SAMPLES:
            self.dropped += 1
        else:
            self._samples[place] = self._describe(caller, error, quota)

    def take(self) -> Sequence[Sample]:
        """Return what was gathered and begin anew."""
        if not self._samples:
            return ()
        samples, self._samples = list(self._samples.values()), {}
        return samples

    def _describe(self, caller: Caller, error: GatewayError, quota: int | None) -> Sample:
        key, secrets = caller.key, caller.secrets()
        return Sample(
            call_id=caller.call_id,
            at=time.time(),
            organization=None if key is None else key.organization,
            project=None if key is None else key.project,
            key=None if key is None else key.id,
            model=self._redact(caller.model[:200], secrets),
            endpoint=self._redact(caller.path, secrets)[:50],
            code=error.code[:50],
            http_status=error.status,
            quota=quota,
            message=self._redact(error.message, secrets)[:LONGEST_MESSAGE],
        )

    def _redact(self, text: str, secrets: Sequence[str]) -> str:
        """Take out what the caller presented as a key, and whatever else looks like one."""
        for secret in secrets:
            if len(secret) >= 8:
                text = text.replace(secret, "[removed]")
        return self._secret.sub("[removed]", text).replace("\x00", "")
