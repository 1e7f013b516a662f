"""Sockets of another process: looked at through a duplicate of its descriptor (pidfd_getfd(2))."""
import ctypes
import errno
import os
import socket

_PIDFD_GETFD = 438  # one number on all of Linux's architectures
_libc = ctypes.CDLL(None, use_errno=True)


def _duplicate(pidfd, fd):
    copy = _libc.syscall(_PIDFD_GETFD, pidfd, fd, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), f"descriptor {fd}: {os.strerror(ctypes.get_errno())}")
    return copy


def sockets_of(pid):
    """All sockets that the process has open, as socket objects of ours on the same sockets. Close them."""
    found = []
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                is_socket = os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
                copy = _duplicate(pidfd, int(name)) if is_socket else None
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EBADF):  # closed meanwhile
                    raise
                continue
            if copy is not None:
                found.append(socket.socket(fileno=copy))
    finally:
        os.close(pidfd)
    return found


def option(pid, level, name, *, local=None, remote=None, listening=False):
    """The value of an option of the process's one socket with these ports."""
    values = []
    for sock in sockets_of(pid):
        with sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
                continue
            if bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) != listening:
                continue
            try:
                peer = None if listening else sock.getpeername()[1]
            except OSError:
                continue
            if (local is None or sock.getsockname()[1] == local) and (remote is None or peer == remote):
                values.append(sock.getsockopt(level, name))
    assert values and len(set(values)) == 1, f"{values} of sockets with local port {local}, remote port {remote}"
    return values[0]
