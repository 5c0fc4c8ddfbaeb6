"""TLS: a browser gives its microphone to pages of its own machine, and to others only over TLS.

A certificate comes from files, or is made when the service starts, for this machine's own names; its key is then never
kept.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dtbh.errors import ConfigError, MissingExtraError

DAYS = 397  # that a certificate made here is valid; browsers refuse longer ones


@dataclass(frozen=True)
class Certificate:
    """What a socket needs to speak TLS.

    Attributes:
        context: With the certificate and its key; TLS 1.2 and later.
        fingerprint: SHA-256 of the certificate as browsers show it, ``AB:CD:...``.
    """

    context: ssl.SSLContext
    fingerprint: str


def certificate_of(certificate: str | Path, key: str | Path) -> Certificate:
    """A certificate, with what leads to its issuer behind it, and its key, from PEM files.

    Raises:
        ConfigError: A file is gone or no PEM, the key is encrypted or of another certificate.
    """
    certificate, key = Path(certificate), Path(key)
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if not path.is_file():
            raise ConfigError(f"{option} {path}: no such file; give one in PEM format")
    if "ENCRYPTED" in key.read_text(errors="replace"):
        raise ConfigError(f"--tls-key {key}: the key is encrypted; decrypt it (openssl pkey -in {key} -out PLAIN)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        mismatch = getattr(error, "reason", None) == "KEY_VALUES_MISMATCH"
        found = "the key is another certificate's" if mismatch else "no certificate and key in PEM format"
        raise ConfigError(f"--tls-cert {certificate} --tls-key {key}: {found}") from None
    first = certificate.read_text().partition("-----BEGIN CERTIFICATE-----")
    pem = first[1] + first[2].partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return Certificate(context, ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)))


def self_signed(names: Sequence[str], addresses: Sequence[str]) -> Certificate:
    """A certificate that nobody but itself vouches for (P-256, RFC 5280), and a key that is kept in memory alone.

    Args:
        names: DNS names for which it is valid.
        addresses: IP addresses for which it is valid.

    Raises:
        MissingExtraError: cryptography is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ModuleNotFoundError:
        raise MissingExtraError("cryptography", "share", "--tls self") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"dtbh on {names[0]}"[:64])])
    today = datetime.datetime.now(datetime.UTC)
    known = [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))  # for clocks that are behind
        .not_valid_after(today + datetime.timedelta(days=DAYS - 1))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with tempfile.TemporaryDirectory(prefix="dtbh-tls-") as folder:  # OpenSSL reads files alone; nobody else may
        certificate, secret = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(key.private_bytes(*plain))
        return certificate_of(certificate, secret)
