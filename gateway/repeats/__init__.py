"""Calls that may be repeated: who sends an Idempotency-Key is charged once for it.

The first call claims the key in PostgreSQL before it holds anything; its whole answer is kept
there, sealed, before the caller gets it. A repeat is answered from there, or told why it cannot
be. A call that failed lets go of its claim, so that its repeat is a call like any other. Whatever
is lost on the way (a process, an answer, the database) makes repeats refused, never charged.
"""

from gateway.repeats.claims import Claim, Repeats, forget_old_calls

__all__ = ["Claim", "Repeats", "forget_old_calls"]
