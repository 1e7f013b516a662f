"""Processes as /proc shows them."""
import os

# Put before a script of sh: it and the command behind it run in a mount namespace of their own. unshare's own way to part
# from the parent's namespace wants / to be a mount point, which it is not in a chroot.
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c",
              'cut -d " " -f 2 /proc/self/mounts | xargs -n 1 mount --make-private 2>/dev/null; exec sh -c "$0" "$@"']


def _stat(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def parent_of(pid):
    return int(_stat(pid)[1])


def session_members(session):
    """Living processes of a session (setsid), without its leader."""
    members = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == session:
            continue
        try:
            fields = _stat(int(name))
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(name))
    return sorted(members)


def children_of(pid):
    children = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = _stat(int(name))
            except OSError:
                continue
            if int(fields[1]) == pid:
                children.append(int(name))
    return sorted(children)


def status_field(pid, field):
    """A line of /proc/PID/status, as its words."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(field + ":"):
                return line.split()[1:]
    raise KeyError(field)


def own_bytes(pid):
    """Memory of the process that is no file's. Pages of programs and libraries come and go with whoever else uses them, and with
    the code that runs for the first time."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Anonymous:"))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
