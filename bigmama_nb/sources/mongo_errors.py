"""What went wrong at a MongoDB cluster, in a reason class and in words that hold no secret."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from bigmama_nb.errors import Reason

# Codes of MongoDB's error_codes.yml.
UNAUTHORIZED = {13}
AUTHENTICATION = {11, 18, 334, 8000}
OUT_OF_TIME = {50, 262}
# Stepping down, shutting down, a stale read, a lost cursor or an overloaded host: over soon.
PASSING = {
    6,
    7,
    43,
    63,
    89,
    91,
    133,
    134,
    150,
    189,
    202,
    237,
    262,
    317,
    358,
    384,
    9001,
    10107,
    11600,
    11602,
    13435,
    13436,
}
COMMAND_NOT_FOUND = 59


@dataclass(frozen=True)
class Trouble:
    """What an error of the driver means.

    `may_pass`: asking again can help. `everywhere`: it holds for the whole cluster, so that the other games need not
    find it out one by one.
    """

    reason: Reason
    found: str
    may_pass: bool = False
    everywhere: bool = False


def trouble(error: PyMongoError, *, secrets: Collection[str], max_time_ms: int) -> Trouble:
    """Return what a driver's error means."""
    found = _said(error, secrets)
    if isinstance(error, ConfigurationError):
        # Its text may quote parts of the URI.
        return Trouble("unreachable", f"the URI cannot be used ({type(error).__name__})", everywhere=True)
    if isinstance(error, OperationFailure):
        return _refused(error, found, max_time_ms)
    if re.search(r"SSL|TLS|[Cc]ertificate", found):
        return Trouble("tls", f"no secure connection: {found}", everywhere=True)
    if isinstance(error, ServerSelectionTimeoutError):
        return Trouble("unreachable", found, may_pass=True, everywhere=True)
    if isinstance(error, NetworkTimeout):
        return Trouble("unreachable", f"no answer came: {found}", may_pass=True)
    if isinstance(error, ConnectionFailure):
        return Trouble("unreachable", f"the connection broke off: {found}", may_pass=True)
    return Trouble("query_refused", found)


def _refused(error: OperationFailure, found: str, max_time_ms: int) -> Trouble:
    code = error.code
    if isinstance(error, ExecutionTimeout) or code in OUT_OF_TIME:
        return Trouble("query_timeout", f"a query took longer than max_time_ms = {max_time_ms}", may_pass=True)
    if code in AUTHENTICATION or (code == COMMAND_NOT_FOUND and "sasl" in found):
        return Trouble("auth", f"the login was refused: {found}", everywhere=True)
    if code in UNAUTHORIZED:
        return Trouble("auth", f"the account may not read this: {found}")
    if code in PASSING:
        return Trouble("unreachable", f"the server could not go on: {found}", may_pass=True)
    return Trouble("query_refused", f"the server refused the query: {found}")


def _said(error: PyMongoError, secrets: Collection[str]) -> str:
    """Return the first line of an error, without the driver's settings and without any secret."""
    text = str(error)
    for end in (" (configured timeouts:", ", Timeout:", ", full error:", ", Topology Description:"):
        text = text.partition(end)[0]
    text = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), quote_plus(secret)}:
            text = text.replace(form, "•••")
    text = re.sub(r"://[^/@\s]*@", "://•••@", text)
    return text if len(text) <= 300 else text[:299] + "…"


def speaks_tls(addresses: Iterable[tuple[str, int | None]], *, seconds: float) -> bool:
    """Return whether one of the servers answers the greeting of a secure connection.

    A server that wants TLS closes a plain connection without a word; this tells it from one that is down.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for host, port in addresses:
        try:
            with (
                socket.create_connection((host, port or 27017), timeout=seconds) as plain,
                context.wrap_socket(plain, server_hostname=host),
            ):
                return True
        except ssl.SSLError as error:
            # A server that wants a certificate of ours says so in TLS.
            if "ALERT" in str(error).upper():
                return True
        except OSError:
            continue
    return False
