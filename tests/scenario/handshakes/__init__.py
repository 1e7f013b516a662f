"""Handshakes that are malformed, out of order or odd, as a table: test_handshake_malformed.py runs every row over every engine.

    @row("4.2.11", "pre_shared_key is not the last extension", ILLEGAL_PARAMETER, enforces="4.2.11-last")
    def _(c):
        c.offer(c.face.ticket())
        c.hello.extensions.reverse()
        c.send_hello()

A row is given a support.tls13.Client (`c.face`: where it is connected to) and leaves it where the server's verdict is
due. `alert` is what the RFC names for that, or several where it leaves a choice; None: nothing is wrong, the handshake goes
through and a request is answered. `engines` tells what an engine says instead, with the reason; it exists for OpenSSL's alone.
`enforces` names requirements of support/rfc8446.py."""
from dataclasses import dataclass, field

CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, HANDSHAKE_FAILURE = 0, 10, 20, 22, 40
BAD_CERTIFICATE, UNSUPPORTED_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_UNKNOWN = 42, 43, 45, 46
ILLEGAL_PARAMETER, UNKNOWN_CA, DECODE_ERROR, DECRYPT_ERROR, PROTOCOL_VERSION, INTERNAL_ERROR = 47, 48, 50, 51, 70, 80
INAPPROPRIATE_FALLBACK, MISSING_EXTENSION, UNSUPPORTED_EXTENSION, CERTIFICATE_REQUIRED, NO_APPLICATION_PROTOCOL = 86, 109, 110, 116, 120
COMPLETES = "completes"     # the server takes no offence: its flight comes, or the answer to a request
ENDS = "ends"               # the connection ends without an alert


@dataclass(frozen=True)
class Row:
    section: str            # of RFC 8446, unless it says another
    name: str
    verdict: tuple          # of alerts, COMPLETES, ENDS: whatever is right
    run: object = field(repr=False, compare=False)
    at: str = "plain"       # which face: see faces.py
    openssl: object = None  # Other, where OpenSSL's engine says something else
    enforces: tuple = ()
    hybrid: bool = False    # whether it needs a library that has X25519MLKEM768


@dataclass(frozen=True)
class Other:
    """What OpenSSL's engine answers instead, and why that is borne."""
    verdict: object
    reason: str


ROWS = []


def verdicts(wanted):
    if wanted is None:
        return (COMPLETES,)
    return tuple(wanted) if isinstance(wanted, (tuple, list)) else (wanted,)


def row(section, name, alert, *, at="plain", openssl=None, enforces=(), hybrid=False):
    def add(run):
        assert all(r.name != name for r in ROWS), f"two rows are called {name!r}"
        enforced = (enforces,) if isinstance(enforces, str) else tuple(enforces)
        ROWS.append(Row(section, name, verdicts(alert), run, at, openssl, enforced, hybrid))
        return run
    return add


def every_row():
    """The whole table."""
    # pylint: disable-next=unused-import,import-outside-toplevel
    from handshakes import client_auth, client_hello, excess, offers, psk, records, retry, shares, states, versions
    return ROWS
