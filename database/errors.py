"""Errors about rows."""

from autodistil.errors import AutoDistilError


class NotFound(AutoDistilError):
    """Nothing has that name or id."""

    status = 404
    type = "not-found"
    title = "There is nothing here"


class UnknownSuperLM(AutoDistilError):
    """A request names a SuperLM or a teacher that is not registered."""

    status = 422
    type = "unknown-superlm"
    title = "No such SuperLM or teacher"


class Conflict(AutoDistilError):
    """The request contradicts what is there."""

    status = 409
    type = "conflict"
    title = "The request conflicts with what is there"


class Unauthorized(AutoDistilError):
    """No key, or one that is not valid."""

    status = 401
    type = "unauthorized"
    title = "A valid API key is needed"


class Forbidden(AutoDistilError):
    """A valid key without the scope."""

    status = 403
    type = "forbidden"
    title = "The API key lacks a scope"


class IdempotencyKeyReused(AutoDistilError):
    """Another request was made with the same `Idempotency-Key`."""

    status = 422
    type = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"


class LeaseLost(AutoDistilError):
    """A worker no longer holds the extraction: another took it, or it was ended."""

    status = 409
    type = "lease-lost"
    title = "The extraction is no longer ours"


class Canceled(AutoDistilError):
    """The user asked for the extraction to stop."""

    status = 409
    type = "canceled"
    title = "The extraction was canceled"


class AttemptsExhausted(AutoDistilError):
    """Workers died on this extraction again and again."""

    status = 500
    type = "attempts-exhausted"
    title = "The workers gave up"


class TooManyRequests(AutoDistilError):
    """A key, or an address without a valid one, asks too often."""

    status = 429
    type = "too-many-requests"
    title = "Too many requests"


class QuotaExceeded(AutoDistilError):
    """A key has asked for as many extractions as it may in a day."""

    status = 429
    type = "quota-exceeded"
    title = "The day's extractions are used up"


class WebhookRefused(AutoDistilError):
    """A webhook that the service will not call."""

    status = 422
    type = "webhook-refused"
    title = "The webhook cannot be used"
