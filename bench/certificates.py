"""Certificates for the servers with TLS, made by the `openssl` command when they are first needed.

They are signed by themselves, for localhost, and live for a year. The load generator does not look at them: verifying
is the client's work, and the client is not measured.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

WHERE = Path(__file__).resolve().parent.parent / ".work" / "bench-tls"
KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}


def of(kind: str) -> tuple[Path, Path]:
    """The files of the certificate and of the key. Raises CalledProcessError if they cannot be made."""
    certificate, key = WHERE / f"{kind}.pem", WHERE / f"{kind}.key"
    if not certificate.exists():
        WHERE.mkdir(parents=True, exist_ok=True)
        made = certificate.with_suffix(".new")
        command = ["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "365"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        files = ["-keyout", str(key), "-out", str(made)]
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
        made.rename(certificate)
    return certificate, key
