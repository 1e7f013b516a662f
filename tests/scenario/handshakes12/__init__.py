"""Conversations of TLS 1.2 that are malformed, out of order or odd, as a table: test_handshake_tls12.py runs every row over every record layer.

    @row("5246 7.4.9", "a Finished before ChangeCipherSpec", UNEXPECTED_MESSAGE)
    def _(c):
        c.send_hello()
        c.read_flight().send_exchange()
        c.send_message(c.finished())

As in handshakes/, of which the names are: a row is given a support.tls12.Client and leaves it where the server's verdict is due. `alert`
is what the RFC names, or several where it leaves a choice; None: nothing is wrong, and a request is answered in the end.
`at` names a policy of test_handshake_tls12.py. What OpenSSL says instead where it does not say what the RFC names is in `excused`, with
the reason: it makes all handshakes of TLS 1.2. `openssl` is that for the record layer `openssl` alone."""
from dataclasses import dataclass, field

# pylint: disable=unused-import
from handshakes import (
    BAD_CERTIFICATE, BAD_RECORD_MAC, CERTIFICATE_EXPIRED, CLOSE_NOTIFY, COMPLETES, DECODE_ERROR, DECRYPT_ERROR, ENDS, HANDSHAKE_FAILURE,
    ILLEGAL_PARAMETER, INTERNAL_ERROR, NO_APPLICATION_PROTOCOL, PROTOCOL_VERSION, RECORD_OVERFLOW, UNEXPECTED_MESSAGE, UNKNOWN_CA,
    UNSUPPORTED_CERTIFICATE, CERTIFICATE_UNKNOWN, Other, verdicts)

INAPPROPRIATE_FALLBACK, NO_RENEGOTIATION, UNRECOGNIZED_NAME, USER_CANCELED = 86, 100, 112, 90


@dataclass(frozen=True)
class Row:
    section: str
    name: str
    verdict: tuple
    run: object = field(repr=False, compare=False)
    at: str = "plain"
    excused: object = None
    openssl: object = None


ROWS = []


def row(section, name, alert, *, at="plain", excused=None, openssl=None):
    def add(run):
        assert all(r.name != name for r in ROWS), f"two rows are called {name!r}"
        ROWS.append(Row(section, name, verdicts(alert), run, at, excused, openssl))
        return run
    return add


def every_row():
    """The whole table."""
    from handshakes12 import client_auth, hello, key_exchange, records, resumption, states  # pylint: disable=unused-import,import-outside-toplevel
    return ROWS
