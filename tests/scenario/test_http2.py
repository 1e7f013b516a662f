"""HTTP/2 to ordinary clients: curl, nghttp, h2load; and how a connection ends when the process does (RFC 9113 6.8)."""
import re
import signal
import subprocess
import threading

import pytest

from support.backend import response
from support.client import curl
from support.h2 import h2_client
from support.unlade import site
from support.waiting import LONG


@pytest.mark.records
def test_curl_gets_an_answer_over_h2(stack, pki):
    done = curl(stack.port, pki, "/", "--http2", "-w", "\n%{http_version} %{http_code}")
    assert done.stdout == "ok\n2 200", done


def test_nghttp_sends_many_at_once(stack, pki):
    urls = [f"https://localhost:{stack.port}/{i}" for i in range(50)]
    done = subprocess.run(["nghttp", "-ns", *urls], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0 and len(re.findall(r" 200 +2 /\d+", done.stdout)) == 50, done


def test_h2load_is_no_flood(stack, pki):
    done = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "32", f"https://localhost:{stack.port}/"], capture_output=True,
                          text=True, timeout=LONG, check=False)
    assert "2000 succeeded, 0 failed" in done.stdout, done


def test_a_stop_is_told_twice_and_what_runs_ends_in_order(start, backend, port, certificate, pki):
    go_on = threading.Event()
    backend.answer = lambda e: (go_on.wait(LONG), e.send(response(b"late")))
    proxy = start(site(port, backend.port, certificate))
    with h2_client(port, pki) as c:
        number = c.open("/slow")
        c.ping()
        proxy.process.send_signal(signal.SIGTERM)
        c.wait(lambda: c.goaway and c.goaway[0] == number, "the last GOAWAY")
        told = [f.goaway[:2] for f in c.frames if f.kind == 7]
        assert told == [(2**31 - 1, 0), (number, 0)]
        go_on.set()
        assert c.response(number).body == b"late"
        c.drain()
        assert c.closed


@pytest.mark.records
def test_a_large_upload_and_its_echo_are_the_same(stack, pki, tmp_path):
    content = bytes(range(256)) * 20000
    (tmp_path / "content").write_bytes(content)
    stack.backend.answer = lambda e: e.send(response(e.read_body()))
    for more in ((), ("-H", "Content-Length:")):
        done = curl(stack.port, pki, "/", "--http2", "-T", tmp_path / "content", "-o", tmp_path / "echo", "-w", "%{http_version}",
                    "-H", "Expect:", *more)
        assert done.stdout == "2", done
        assert (tmp_path / "echo").read_bytes() == content
