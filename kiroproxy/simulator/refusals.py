"""What the service says when it says no: status, exception, message, reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

from kiroproxy.http import RawHeader

NAMESPACE = "com.amazon.aws.codewhisperer"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error reply. ``exception`` is the bare name, ``reason`` one of the service's codes."""

    status: int
    exception: str
    message: str
    reason: str | None = None
    headers: tuple[RawHeader, ...] = ()

    def body(self, *, typed: bool) -> bytes:
        """The JSON body; ``typed`` adds ``__type`` as the JSON 1.0 binding does."""
        fields: dict[str, Any] = {"message": self.message, "reason": self.reason}
        if typed:
            fields = {"__type": f"{NAMESPACE}#{self.exception}", **fields}
        return orjson.dumps(fields)

    def after(self, seconds: str) -> Refusal:
        """The same refusal with a Retry-After."""
        return replace(self, headers=((b"retry-after", seconds.encode()),))

    def saying(self, message: str) -> Refusal:
        """The same refusal with other words."""
        return replace(self, message=message)


def _validation(message: str, reason: str | None = None) -> Refusal:
    return Refusal(400, "ValidationException", message, reason)


def _denied(message: str, reason: str | None = None) -> Refusal:
    return Refusal(403, "AccessDeniedException", message, reason)


def _throttled(message: str, reason: str | None) -> Refusal:
    return Refusal(429, "ThrottlingException", message, reason)


SUSPICIOUS_TEXT = (
    "Due to suspicious activity, we are imposing temporary limits on how frequently your account "
    "(d-90670000.demo-user) can send a request to Kiro while we investigate."
)
SUSPENDED_TEXT = (
    "Your User ID (d-90670000.demo-user) temporarily is suspended. We've locked your account as a "
    "security precaution. To restore access, please contact support: "
    "https://support.aws.amazon.com/#/contacts/kiro"
)
HIGH_LOAD_TEXT = "Encountered unexpectedly high load when processing the request, please try again."
SIGNATURE_TEXT = (
    "Invalid `signature` in `thinking` block. The block is bound to a different conversation."
)

IMPROPER = _validation("Improperly formed request.")
BODY_INVALID = _validation("Improperly formed request.", "REQUEST_BODY_INVALID")
TOOL_FORMAT = _validation("Invalid tool use format.", "REQUEST_BODY_INVALID")
TOO_LONG = _validation("Input is too long.", "CONTENT_LENGTH_EXCEEDS_THRESHOLD")
BAD_MODEL = _validation(
    "Invalid model. Please select a different model to continue.", "INVALID_MODEL_ID"
)
BAD_CONVERSATION = _validation("Improperly formed request.", "INVALID_CONVERSATION_ID")
BAD_SIGNATURE = _validation(SIGNATURE_TEXT, "THINKING_SIGNATURE_INVALID")
NO_FIELDS = _validation("additionalModelRequestFields is not supported for this model")
BAD_FIELDS = _validation("additionalModelRequestFields does not match the schema")
ARN_REQUIRED = _validation("profileArn is required for this request.")
NO_TOKEN = Refusal(401, "UnauthorizedException", "Missing authentication token.")
TOKEN_EXPIRED = _denied("The bearer token included in the request has expired.")
TOKEN_INVALID = _denied("The bearer token included in the request is invalid.")
MANAGEMENT_TOKEN_INVALID = Refusal(400, "AccessDeniedException", "Invalid token")
NOT_AUTHORIZED = _denied("User is not authorized to make this call.")
FEATURE = _denied("User is not authorized to access this feature", "FEATURE_NOT_SUPPORTED")
SUSPENDED = _denied(SUSPENDED_TEXT, "TEMPORARILY_SUSPENDED")
LOCKED = Refusal(423, "AccessDeniedException", SUSPENDED_TEXT, "TEMPORARILY_SUSPENDED")
BUILDER_PROFILES = _denied("AWS Builder ID is not supported for this operation.")
KEY_PROFILES = _denied("API key authentication is not supported for this operation.")
UNKNOWN_OPERATION = Refusal(404, "UnknownOperationException", "Unknown operation.")
TIMED_OUT = Refusal(408, "RequestTimeoutException", "The request timed out.")
CONFLICT = Refusal(
    409, "ConflictException", "The customer KMS key is disabled.", "CUSTOMER_KMS_KEY_DISABLED"
)
TOO_LARGE = Refusal(
    413, "RequestTooLargeException", "Failed to buffer the request body: length limit exceeded"
)
MEDIA_TYPE = Refusal(415, "UnsupportedMediaTypeException", "Unsupported media type.")
MONTHLY = Refusal(
    402, "ServiceQuotaExceededException", "You have reached the limit.", "MONTHLY_REQUEST_COUNT"
)
MONTHLY_400 = Refusal(
    400, "ThrottlingException", "Maximum Request reached for this month.", "MONTHLY_REQUEST_COUNT"
)
OVERAGE = Refusal(
    402,
    "ServiceQuotaExceededException",
    "You have reached the limit.",
    "OVERAGE_REQUEST_LIMIT_EXCEEDED",
)
CONVERSATION_LIMIT = Refusal(
    402,
    "ServiceQuotaExceededException",
    "You have reached the limit.",
    "CONVERSATION_LIMIT_EXCEEDED",
)
RATE = _throttled(
    "Too many requests, please wait before trying again.", "USER_REQUEST_RATE_EXCEEDED"
)
CAPACITY = _throttled(
    "I am experiencing high traffic, please try again shortly.", "INSUFFICIENT_MODEL_CAPACITY"
)
DAILY = _throttled("Maximum Request reached for today.", "DAILY_REQUEST_COUNT")
SUSPICIOUS = _throttled(SUSPICIOUS_TEXT, None)
INTERNAL = Refusal(500, "InternalServerException", "An unexpected error occurred.")
HIGH_LOAD = Refusal(500, "InternalServerException", HIGH_LOAD_TEXT)
MODEL_AWAY = Refusal(
    500,
    "InternalServerException",
    "The model is temporarily unavailable.",
    "MODEL_TEMPORARILY_UNAVAILABLE",
)
BAD_GATEWAY = Refusal(502, "InternalServerException", "Bad gateway.")
UNAVAILABLE = Refusal(503, "ServiceUnavailableException", "Service is temporarily unavailable.")
GATEWAY_TIMEOUT = Refusal(504, "InternalServerException", "Gateway timeout.")
