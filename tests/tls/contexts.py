"""Contexts for servers and clients, from the certificates that these tests carry (`certificates/make.sh` makes them).

Pure `ssl`: nothing here knows of asyncio, so that it serves the peers and the oracles as well.
"""

import ssl
from pathlib import Path

CERTIFICATES = Path(__file__).parent / "certificates"
CA = CERTIFICATES / "ca.pem"

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def pin(context, version):
    """Have *context* speak only that version of TLS, if one is named."""
    if version is not None:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def server_context(version=None, certificate="ecdsa", kind=ssl.SSLContext):
    """A server's context with one of the certificates."""
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    return pin(context, version)


def client_context(version=None, kind=ssl.SSLContext):
    """A client's context that trusts the tests' CA and checks the host's name."""
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(CA)
    return pin(context, version)


def asking_for_a_certificate(context, mode=ssl.CERT_REQUIRED):
    """Have a server's *context* ask its clients for a certificate of the tests' CA."""
    context.load_verify_locations(CA)
    context.verify_mode = mode
    return context
