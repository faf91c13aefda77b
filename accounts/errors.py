"""What this app refuses, as one tree. Nothing here knows HTTP.

    AccountsError         a stable `code` and a message that may be shown to the person concerned
      MalformedKey        the text is not a key of ours, whoever made it
      KeyRefused          a key that may not call, or not now (see REFUSALS)
      MustWait            too many wrong keys came from an address
      InvalidField        a form, an argument or an API field that cannot be accepted
      KeyIsRevoked        a revoked key never comes back
      RotationInProgress  two secrets of a key are alive already
      LastOwner           an organization is never left without an owner
      InvitationIsOver    it was accepted or revoked, or its time is up
      RepeatDiffers       an idempotency key came back with another request
      OrganizationIsDeleted  a deleted organization never comes back
      OrganizationIsActive   only a suspended one can be deleted
      InUse               something else refers to it still
      AnsweredAlready     a request gets one answer
      LastOperator        an installation is never left without an operator

No message holds any part of a key.
"""

from __future__ import annotations

REFUSALS = {
    "missing": "No API key was given. Send it as 'Authorization: Bearer KEY' or as 'x-api-key'.",
    "malformed": "This is not an API key of this service, or it was not copied whole.",
    "unknown": "This API key does not exist.",
    "expired": "This API key has expired. Make a new one or ask for one.",
    "disabled": "This API key is disabled. Whoever disabled it can enable it again.",
    "revoked": "This API key was revoked, which is final. Make a new one or ask for one.",
    "organization_suspended": "The organization of this API key is suspended.",
    "project_archived": "The project of this API key is archived.",
    "member_left": "The owner of this API key has left the organization.",
    "member_deactivated": "The owner of this API key was deactivated by the operator.",
    "address_not_allowed": "This API key may not be used from this network address.",
}


class AccountsError(Exception):
    """Something that this app will not do, and why."""

    code = "refused"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedKey(AccountsError):
    """The text is not one of our keys; found without any look-up."""

    code = "malformed"


class KeyRefused(AccountsError):
    """No call may be made with what was presented. `code` is one of REFUSALS."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message or REFUSALS[code])
        self.code = code

    @property
    def proves_nothing(self) -> bool:
        """Whether it may have been a guess: every other refusal is told to who knows a secret."""
        return self.code in {"unknown", "malformed"}


class MustWait(AccountsError):
    """A network address presented too many wrong keys; nothing was looked up."""

    code = "too_many_wrong_keys"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong keys came from your address: wait {seconds} s.")
        self.seconds = seconds


class InvalidField(AccountsError):
    """`field` names what has to be changed before this can be accepted."""

    code = "invalid"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class KeyIsRevoked(AccountsError):
    """Revoking is final: neither enabling nor rotating brings a key back."""

    code = "revoked"


class RotationInProgress(AccountsError):
    """A third secret cannot be added while two are alive."""

    code = "rotation_in_progress"


class OrganizationIsDeleted(AccountsError):
    """Deleting is final: nothing of the organization can be changed any more."""

    code = "organization_deleted"


class OrganizationIsActive(AccountsError):
    """Only a suspended organization can be deleted."""

    code = "organization_active"


class InUse(AccountsError):
    """Something else refers to it still."""

    code = "in_use"


class AnsweredAlready(AccountsError):
    """Somebody answered the request before."""

    code = "answered_already"


class LastOperator(AccountsError):
    """Somebody else has to be made an operator first."""

    code = "last_operator"


class LastOwner(AccountsError):
    """Somebody else has to be made an owner first."""

    code = "last_owner"


class InvitationIsOver(AccountsError):
    """It was accepted or revoked, or its time is up: a new one is needed."""

    code = "invitation_over"


class RepeatDiffers(AccountsError):
    """The same Idempotency-Key was used for another request before."""

    code = "idempotency_key_reused"
