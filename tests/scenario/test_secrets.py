"""Where private keys are, and where they are not."""
import base64
import re

import pytest

from support.unlade import release_binary, site


@pytest.mark.skipif("os.geteuid() != 0", reason="only root may read another process's memory")
def test_the_supervisor_keeps_no_private_key(start, backend, certificate, port):
    proxy = start(site(port, backend.port, certificate), program=release_binary())
    for _ in range(3):
        proxy.reload()
    with open(certificate.key_file, encoding="ascii") as f:
        lines = [line for line in f.read().splitlines() if not line.startswith("-")]
    der = base64.b64decode("".join(lines))
    start_of_secret = der.index(b"\x04\x20") + 2  # the OCTET STRING with the 32 bytes of a P-256 key
    needles = [lines[0].encode(), der[start_of_secret:start_of_secret + 32]]
    with open(f"/proc/{proxy.process.pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{proxy.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            if not re.match(r"\S+ rw", line):
                continue
            first, last = (int(n, 16) for n in line.split()[0].split("-"))
            memory.seek(first)
            content = memory.read(last - first)
            assert not any(n in content for n in needles), line
