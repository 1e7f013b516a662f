"""No branch and no index of our handshakes depends on a secret: memcheck sees the secrets as undefined (tests/memcheck/secrets.c)."""
import os
import subprocess

import pytest

from support.unlade import ROOT, release_binary

SECRETS = os.path.join("tests", "memcheck", "secrets")
SUPPRESSIONS = os.path.join(ROOT, "tests", "memcheck", "secrets.supp")
FOUND = 9


@pytest.fixture(scope="module")
def memcheck():
    """memcheck(arguments...) runs the handshakes of a build that is optimised as the released one."""
    build = os.path.dirname(release_binary())
    subprocess.run(["ninja", "--quiet", "-C", build, SECRETS], check=True)

    def run(*arguments):
        return subprocess.run(["valgrind", "-q", f"--error-exitcode={FOUND}", f"--suppressions={SUPPRESSIONS}", os.path.join(build, SECRETS),
                               *arguments], capture_output=True, text=True, timeout=300, check=False)
    return run


def test_handshakes_neither_branch_on_secrets_nor_index_by_them(memcheck):
    done = memcheck()
    assert done.returncode == 0, done.stderr
    assert "each handshake came to its end" in done.stdout


def test_a_branch_on_a_secret_would_be_found(memcheck):
    done = memcheck("--prove")
    assert done.returncode == FOUND and "prove (secrets.c" in done.stderr, done.stderr
