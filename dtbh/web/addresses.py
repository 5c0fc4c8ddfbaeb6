"""Under which names and addresses other machines know this one, and what they type, or point a phone at."""

from __future__ import annotations

import io
import ipaddress
import re
import socket
from contextlib import suppress

NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # RFC 5737, 3849: nobody has these


def own_names() -> tuple[str, ...]:
    """This machine's names, as DNS and mDNS have them, ``localhost`` last."""
    host = socket.gethostname()
    names = (host, socket.getfqdn(), f"{host}.local" if "." not in host else host, "localhost")
    return tuple(dict.fromkeys(name for name in names if NAME.fullmatch(name)))


def own_addresses() -> tuple[str, ...]:
    """This machine's addresses, the one that it shows others first, those of the loopback last."""
    found = []
    for family, other in ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))  # of a datagram: picks a route, and sends nothing
            found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    plain = dict.fromkeys(address.partition("%")[0] for address in (*found, "127.0.0.1", "::1"))
    return tuple(sorted(plain, key=lambda address: ipaddress.ip_address(address).is_loopback))


def in_address(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def qr_code(text: str) -> str | None:
    """A QR code in half blocks for a terminal; None where segno is not installed."""
    try:
        import segno
    except ModuleNotFoundError:
        return None
    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, compact=True)
    return out.getvalue().rstrip("\n")
