"""Certificates for a TLS server on loopback, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.services import require_program


def self_signed(folder: Path, name: str, *, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """Return a new certificate for `host`, which is its own authority, and its key."""
    openssl = require_program("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", "/CN=bigmama", "-addext", f"subjectAltName=IP:{host}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(made, check=True, capture_output=True)
    return certificate, key
