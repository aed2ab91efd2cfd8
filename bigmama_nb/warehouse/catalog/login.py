"""How a metastore is told who asks: not at all, by a ticket of Kerberos, or by user and password; and what to do where
it does not let in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from puresasl import SASLError
from puresasl.mechanisms import mechanisms
from thrift.transport import TTransport

from bigmama_nb.errors import UsageError

AUTHS = ("none", "kerberos", "plain")


def transport(socket: Any, host: str, options: Mapping[str, Any]) -> Any:
    """Return what is to be opened over `socket`, which leads to `host`.

    Raises:
        UsageError: a package or a variable that `auth` needs is missing.
    """
    auth = options.get("auth", "none")
    if auth == "kerberos":
        _require_kerberos()
        service, name = _principal(host, options)
        return TTransport.TSaslClientTransport(socket, host=name, service=service, mechanism="GSSAPI")
    if auth == "plain":
        variable = str(options.get("password_env", ""))
        if variable not in os.environ:
            raise UsageError(
                f"warehouse.metastore_options.password_env names {variable or 'nothing'}, which is not set"
            )
        return TTransport.TSaslClientTransport(
            socket,
            host=host,
            service="hive",
            mechanism="PLAIN",
            username=str(options.get("user", "")),
            password=os.environ[variable],
        )
    return TTransport.TBufferedTransport(socket)


def refusals() -> tuple[type[Exception], ...]:
    """Return what a login raises beside thrift's own: the ticket's library is there only where it is installed."""
    if "GSSAPI" not in mechanisms:
        return (SASLError,)
    import kerberos

    return SASLError, kerberos.GSSError


def advice(error: Exception, host: str, options: Mapping[str, Any]) -> str:
    """Return what is wrong with a login that failed by `error` and what to do, empty where it is no login's fault."""
    auth = options.get("auth", "none")
    hung_up = (
        isinstance(error, TTransport.TTransportException) and error.type == TTransport.TTransportException.END_OF_FILE
    )
    if auth == "none":
        return hung_up * (
            " It hung up at the first question: where it lets in by Kerberos or by a login, set "
            "warehouse.metastore_options.auth to kerberos or plain; where it speaks TLS, tls."
        )
    if hung_up:
        return f" It hung up during the login: does it want one? warehouse.metastore_options.auth is {auth}."
    if not isinstance(error, refusals()) and "SASL" not in str(error):
        return ""
    if auth == "plain":
        return " Look at user and password_env in warehouse.metastore_options, or at auth: it may want kerberos."
    service, name = _principal(host, options)
    return (
        " 'klist' shows this user's ticket and when it ends; 'kinit PRINCIPAL', or 'kinit -k -t KEYTAB PRINCIPAL' with "
        f"a keytab, gets one. The metastore was asked for as the principal {service}/{name}, of "
        "warehouse.metastore_options.kerberos_service_name and kerberos_host; it has to be the one that its "
        "hive.metastore.kerberos.principal names."
    )


def said(error: Exception) -> str | None:
    """Return what Kerberos says, without its numbers; None where something else failed."""
    if not isinstance(error, refusals()) or isinstance(error, SASLError):
        return None
    # ((general words, major), (words, minor)); where the mechanism has none, its words are "Success".
    words = [part[0] for part in error.args if isinstance(part, tuple) and part[0] != "Success"]
    return f"Kerberos: {words[-1] if words else error}"


def _principal(host: str, options: Mapping[str, Any]) -> tuple[str, str]:
    return str(options.get("kerberos_service_name", "hive")), str(options.get("kerberos_host", host))


def _require_kerberos() -> None:
    # The binding is asked for by name alone: on Windows it is another package.
    if "GSSAPI" not in mechanisms:
        raise UsageError(
            "warehouse.metastore_options.auth is 'kerberos', and the package 'kerberos' is not installed",
            step="run 'pip install bigmama-nb[kerberos]' (it needs a C compiler and the headers of MIT Kerberos: "
            "libkrb5-dev, krb5-devel)",
        )
