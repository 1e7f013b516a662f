"""Which libraries a process has: the multi-buffer library where it belongs, and no symbol of our OpenSSL for others to find."""
import os
import re
import shutil
import subprocess

import pytest

from support.client import get, tls_client
from support.unlade import ROOT, binary, command, release_binary, site

OPENSSL = re.compile(r"^(SSL|TLS|EVP|BIO|BN|EC|RSA|CRYPTO|OPENSSL|OSSL|ERR|X509|ASN1|RAND|HMAC|SHA\d*|PEM|PKCS\d*|ossl|openssl)_")


def exported(program):
    done = subprocess.run(["nm", "-D", "--defined-only", program], capture_output=True, text=True, check=True)
    return [line.split()[-1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("which", [binary, release_binary])
def test_no_symbol_of_openssl_is_there_for_other_libraries(which):
    """One that loads the system's libcrypto (the multi-buffer library does) must get that one's functions, not ours."""
    assert [name for name in exported(which()) if OPENSSL.match(name)] == []


def test_the_search_for_symbols_of_openssl_finds_them():
    library = next(line.split()[-1] for line in subprocess.run(["ldd", shutil.which("openssl")], capture_output=True, text=True, check=True).stdout
                   .replace(" (0x", "\n(0x").splitlines() if "libcrypto" in line)
    assert any(OPENSSL.match(name) for name in exported(library))


def package_of(library):
    """Debian's; it knows files by the names that they had before /lib became /usr/lib, or after."""
    path = os.path.realpath(library)
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.split(":")[0].removesuffix("t64")
    raise AssertionError(f"no package has {library}")


def test_the_container_has_every_library_that_the_program_is_linked_with():
    """And the system's libcrypto, which the multi-buffer library loads; the C library and the compiler's are in every image."""
    with open(os.path.join(ROOT, "packaging", "Containerfile"), encoding="utf-8") as f:
        installed = re.search(r"apt-get install (.*?)&&", f.read().replace("\\\n", " ")).group(1).split()
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.run(["readelf", "-d", release_binary()], capture_output=True, text=True, check=True).stdout)
    places = dict(re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", release_binary()], capture_output=True, text=True, check=True).stdout))
    packages = {package_of(places[name]) for name in needed if name in places} - {"libc6", "libgcc-s1"}
    assert len(packages) > 3 and packages | {"libssl3"} <= set(installed), packages


def processor_can():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        return "avx512ifma" in f.read()


def mapped(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        return f.read()


@pytest.mark.skipif("os.geteuid() != 0", reason="only root may see another user's process")
def test_the_worker_has_the_multi_buffer_library_where_it_was_fetched(start, backend, certificate, pki, port):
    place = os.path.join(os.path.dirname(binary()), "..", "lib", "unlade", "libcrypto_mb.so.11")
    proxy = start(site(port, backend.port, certificate))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    has_it = any("libcrypto_mb.so.11" in mapped(pid) for pid in proxy.workers())
    if os.path.exists(place):
        assert has_it == processor_can()
    assert has_it == ("at a time (crypto_mb, AVX-512 IFMA): yes" in command("--version").stdout)


def test_a_program_without_the_multi_buffer_library_beside_it_serves_as_well(start, backend, certificate, pki, port, tmp_path):
    copy = tmp_path / "bin" / "unlade"
    copy.parent.mkdir()
    shutil.copy(binary(), copy)
    version = subprocess.run([copy, "--version"], capture_output=True, text=True, check=True).stdout
    if not subprocess.run(["dpkg-query", "-W", "libcrypto-mb11"], capture_output=True, check=False).stdout:
        assert re.search(r"at a time .*: no: (libcrypto_mb|it is for|the processor)", version), version
    start(site(port, backend.port, certificate), program=str(copy))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
