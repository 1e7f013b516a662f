"""Sockets of another process: looked at through a duplicate of its descriptor (pidfd_getfd(2)).

Only the socket that is asked for is duplicated, and only while it is looked at: a socket stays in its owner's epoll
until its last duplicate is closed, and so must not outlive the owner's."""
import ctypes
import os
import socket

_PIDFD_GETFD = 438  # one number on all of Linux's architectures
_LISTEN, _ESTABLISHED = "0A", "01"
_libc = ctypes.CDLL(None, use_errno=True)


def _inodes(pid, local, remote, listening):
    """Of the TCP sockets in the process's network with these ports."""
    for family in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{family}", encoding="ascii") as f:
            for line in list(f)[1:]:
                words = line.split()
                ports = [int(words[i].rpartition(":")[2], 16) for i in (1, 2)]
                if (words[3] == (_LISTEN if listening else _ESTABLISHED) and local in (None, ports[0]) and
                        (listening or remote in (None, ports[1]))):
                    yield words[9]


def option(pid, level, name, *, local=None, remote=None, listening=False):
    """The value of an option of the process's sockets with these ports, which is the same for all of them."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(pid, local, remote, listening)}
    values, pidfd = [], os.pidfd_open(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") not in wanted:
                continue
        except FileNotFoundError:  # closed meanwhile: none of those that are asked for
            continue
        copy = _libc.syscall(_PIDFD_GETFD, pidfd, int(fd), 0)
        assert copy >= 0, f"descriptor {fd}: {os.strerror(ctypes.get_errno())}"
        with socket.socket(fileno=copy) as sock:
            values.append(sock.getsockopt(level, name))
    os.close(pidfd)
    assert values and len(set(values)) == 1, f"{values} of sockets with local port {local}, remote port {remote}"
    return values[0]
