"""Faults of storage: permanent, passing, or until the credentials are renewed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
)

from seraser_core.errors import ConfigError, SeraserError, TransientError
from seraser_core.proxies import has_proxies, through

CHANGED_CODES = ("PreconditionFailed", "412")
BEHIND_END_CODES = ("InvalidRange", "416")
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# S3 also calls stale credentials and a wrong clock forbidden; only these concern the object.
_FORBIDDEN_CODES = ("AccessDenied", "403", "AllAccessDisabled", "InvalidObjectState")
_IMPOSSIBLE_CODES = ("InvalidBucketName", "KeyTooLongError", "InvalidURI")
_STALE_CODES = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)
# Refusals with a status that blames the client, which pass nevertheless.
_SOON_CODES = (
    "BadDigest",  # it was damaged on its way
    "ConditionalRequestConflict",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
)
_SOON_STATUS = (408, 425, 429, 500, 502, 503, 504)
_SOON_CLIENT_FAULTS = (
    botocore.exceptions.ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
# The clients' own faults, most of which are no OSError.
_CLIENTS = ("aiohttp", "aiobotocore", "azure", "botocore", "gcsfs", "google")


@contextmanager
def sorted_faults(verb: str, url: str) -> Iterator[None]:
    """Sort the faults of all kinds of storage into permanent and passing ones.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError: It stays so.
        ConfigError: The proxy lets nobody through without a password.
        TransientError: It may pass.
    """
    try:
        yield
    except (SeraserError, ValueError, ImportError) as error:
        if not isinstance(error, aiohttp.ClientError):  # an invalid URL is both
            raise
        raise FileNotFoundError(f"{url}: {error}") from error
    except Exception as error:
        meant = _meant(error)
        if _wants_password(meant):
            raise ConfigError(
                "HTTP_PROXY, HTTPS_PROXY",
                f"the proxy asks for a user and a password{through(url)}",
                "write them as http://user:password@host:port, with %40 for an @ in either",
            ) from error
        if not isinstance(meant, OSError) and type(meant).__module__.split(".")[0] not in _CLIENTS:
            raise
        lasting = _lasting(meant, url)
        if lasting is error:
            raise
        if lasting is not None:
            raise lasting from error
        raise TransientError(f"cannot {verb} {url}: {why(meant)}{through(url)}") from error


def _wants_password(error: BaseException) -> bool:
    """Return whether a proxy asks for a password."""
    if not has_proxies():
        return False
    refusals = (error, error.__cause__, error.__context__)
    return s3_code(error) == "407" or any(getattr(e, "status", None) == 407 for e in refusals)


def _lasting(error: Exception, url: str) -> Exception | None:
    """Return the fault as a permanent one, or None if it may pass."""
    if isinstance(error, ParamValidationError):
        return FileNotFoundError(f"{url}: {error}")
    if isinstance(error, aiohttp.ClientResponseError):
        if error.status in (401, 403):
            return PermissionError(f"{url}: {error.message}")
        if 400 <= error.status < 500 and error.status not in _SOON_STATUS:
            return FileNotFoundError(f"{url}: {error.message}")
        return None
    code = s3_code(error)
    if code in _IMPOSSIBLE_CODES or getattr(error, "errno", None) in (
        errno.ENAMETOOLONG,
        errno.ELOOP,
    ):
        return FileNotFoundError(f"{url}: {error}")
    if code == "NoSuchUpload":  # it had succeeded, and the answer was lost
        return None
    stale = isinstance(error, PermissionError) and code not in (None, *_FORBIDDEN_CODES)
    return error if isinstance(error, _PERMANENT) and not stale else None


def passes_soon(error: Exception) -> bool:
    """Return whether the same request may well succeed in a moment.

    Of the faults for which `sorted_faults` raises TransientError, those that do not are refusals
    for what was asked and by whom.
    """
    error = _meant(error)
    refusal = _refusal(error)
    if refusal is not None:
        status = refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _SOON_STATUS or s3_code(refusal) in _SOON_CODES
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status in _SOON_STATUS
    if isinstance(error, BotoCoreError):
        return isinstance(error, _SOON_CLIENT_FAULTS)
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return not isinstance(error, (ValueError, *_PERMANENT))
    return type(error).__name__ == "ResponseParserError"  # half an XML; its module is large


def is_stale(error: Exception) -> bool:
    """Return whether S3 refused credentials that may have expired and been renewed."""
    return s3_code(error) in _STALE_CODES


def s3_code(error: BaseException) -> str | None:
    """Return S3's error code, e.g. ``AccessDenied``; None for other errors."""
    refusal = _refusal(error)
    return None if refusal is None else str(refusal.response["Error"].get("Code"))


def why(error: BaseException) -> str:
    """Describe an error for people; many time-outs have no text."""
    return str(error) or str(error.__cause__ or "") or type(error).__name__


def _refusal(error: BaseException) -> ClientError | None:
    refusal = error if isinstance(error, ClientError) else error.__cause__
    return refusal if isinstance(refusal, ClientError) else None


def _meant(error: Exception) -> Exception:
    """Return the cause of a fault: fsspec calls every failed request to a web server missing."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(
        cause, (aiohttp.ClientError, TimeoutError, ConnectionError)
    ):
        return cause
    return error
