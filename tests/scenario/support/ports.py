"""Free TCP ports that stay ours: below the ephemeral range, so that no outgoing connection takes one by chance.

A port is reserved by an abstract Unix socket of its number, which the kernel hands to one process alone and takes back
when that process ends: test runs beside each other never meet, and no lock file is left behind."""
import random
import socket

_LOWEST, _HIGHEST = 20000, 31999
_reservations = []


def _is_free(port):
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def free_port():
    for _ in range(2000):
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0unlade-scenario-port-{port}")
        except OSError:
            reservation.close()
            continue
        if _is_free(port):
            _reservations.append(reservation)  # until this process ends
            return port
        reservation.close()
    raise AssertionError("no free port found")
