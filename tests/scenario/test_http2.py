"""HTTP/2 to ordinary clients: curl, nghttp, h2load (RFC 9113)."""
import subprocess

import pytest

from support.backend import response
from support.client import curl
from support.waiting import LONG


def h2_curl(stack, pki, *arguments, path="/"):
    return subprocess.run(["curl", "-sS", "--http2", "--cacert", str(pki.ca_file), "--resolve",
                           f"a.test:{stack.port}:127.0.0.1", *arguments, f"https://a.test:{stack.port}{path}"],
                          capture_output=True, timeout=LONG, check=False)


def test_curl_gets_an_answer_over_h2(stack, pki):
    done = h2_curl(stack, pki, "-w", "\n%{http_version} %{http_code}")
    assert done.stdout == b"ok\n2 200", done
