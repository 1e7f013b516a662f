"""Client certificates: off, optional or required per virtual host, and checked again at each request."""
import datetime
import re
import ssl

import pytest

from support.client import Closed, context, get, tls_client
from support.openssl import s_client
from support.pki import DAY, NOW
from support.unlade import site
from support.waiting import until

pytestmark = [pytest.mark.tls, pytest.mark.handshakes]

VERSIONS = ["1.2", "1.3"]
REFUSED = (ssl.SSLError, ConnectionError, Closed)


@pytest.fixture
def staff(pki):
    return pki.authority("Staff CA")


@pytest.fixture
def badge(pki, staff):
    return pki.leaf(issuer=staff, client=True, common_name="alice")


def guarded(start, port, backend, pki, staff, mode="required", engine="auto", **hosts):
    """open.test asks for nothing; staff.test by `mode`; further hosts as given."""
    config = site(port, backend.port, pki.leaf("open.test", "staff.test", "other.test", "*.staff.test"))
    config["tls"] = {"staff": {"engine": engine, "clients": {"certificate": mode, "ca": staff.chain_file}}}
    config["listeners"]["web"]["hosts"] = {"open.test": {"to": "app"}, "staff.test": {"to": "app", "tls": "staff"}, **hosts}
    return start(config)


def try_request(port, pki, name, version="1.3", certificate=None, host=None):
    """The status that the client gets, or "refused"."""
    c = context(pki, least=version, most=version, certificate=certificate)
    try:
        with tls_client(port, name=name, ssl_context=c) as client:
            return client.request(get(host=host or name)).status
    except (ssl.SSLError, ConnectionError, Closed):
        return "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_required_means_no_connection_without_a_valid_one(start, port, backend, pki, staff, badge, version):
    guarded(start, port, backend, pki, staff)
    assert try_request(port, pki, "staff.test", version) == "refused"
    assert not backend.exchanges
    assert try_request(port, pki, "staff.test", version, badge) == 200
    assert try_request(port, pki, "open.test", version) == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_optional_takes_none_or_a_valid_one(start, port, backend, pki, staff, badge, version):
    guarded(start, port, backend, pki, staff, "optional")
    assert try_request(port, pki, "staff.test", version) == 200
    assert try_request(port, pki, "staff.test", version, badge) == 200
    stranger = pki.leaf(issuer=pki.authority("Stranger CA"), client=True, common_name="mallory")
    assert try_request(port, pki, "staff.test", version, stranger) == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_off_asks_for_none(start, port, backend, pki, staff, badge, version):
    guarded(start, port, backend, pki, staff)
    seen = s_client(port, "-tls1_2" if version == "1.2" else "-tls1_3", name="open.test")
    assert "No client certificate CA names sent" in seen.text
    assert try_request(port, pki, "open.test", version, badge) == 200


def test_the_names_of_the_authorities_are_sent(start, port, backend, pki, staff):
    guarded(start, port, backend, pki, staff, "optional")
    seen = s_client(port, name="staff.test")
    assert re.search("CN ?= ?Staff CA", seen.text.partition("Acceptable client certificate CA names")[2])


INVALID = {
    "of another authority": lambda pki, staff: pki.leaf(issuer=pki.authority("Stranger CA"), client=True, common_name="m"),
    "of an authority of the same name": lambda pki, staff: pki.leaf(issuer=_double(pki), client=True, common_name="m"),
    "expired": lambda pki, staff: pki.leaf(issuer=staff, client=True, common_name="m", start=-9 * DAY, end=-DAY),
    "not yet valid": lambda pki, staff: pki.leaf(issuer=staff, client=True, common_name="m", start=9 * DAY, end=20 * DAY),
    "for servers": lambda pki, staff: pki.leaf("m.test", issuer=staff),
    "of the servers' authority": lambda pki, staff: pki.leaf(client=True, common_name="m"),
}


def _double(pki):
    return pki.authority("Staff CA", kind="p384")


@pytest.mark.parametrize("mode", ["required", "optional"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("which", INVALID)
def test_an_invalid_certificate_is_refused(start, port, backend, pki, staff, which, version, mode):
    guarded(start, port, backend, pki, staff, mode)
    assert try_request(port, pki, "staff.test", version, INVALID[which](pki, staff)) == "refused"
    assert not backend.exchanges


def test_an_intermediate_sent_by_the_client_is_followed(start, port, backend, pki, staff):
    department = pki.authority("Staff department", issuer=staff)
    guarded(start, port, backend, pki, staff)
    assert try_request(port, pki, "staff.test", "1.3", pki.leaf(issuer=department, client=True, common_name="bob")) == 200


# ---- checked again at each request ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("target", ["staff.test", "STAFF.test", "staff.test.", "staff.test:443"])
def test_a_connection_without_a_certificate_cannot_reach_a_guarded_host(start, port, backend, pki, staff, version, target):
    guarded(start, port, backend, pki, staff)
    assert try_request(port, pki, "open.test", version, host=target) == 421
    assert not backend.exchanges


def test_an_absolute_target_cannot_reach_a_guarded_host_either(start, port, backend, pki, staff):
    guarded(start, port, backend, pki, staff)
    with tls_client(port, pki, name="open.test") as c:
        assert c.request(b"GET https://staff.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n").status == 421
    assert not backend.exchanges


def test_a_connection_without_a_server_name_cannot_reach_a_guarded_host(start, port, backend, pki, staff):
    guarded(start, port, backend, pki, staff)
    with tls_client(port, name=None) as c:
        assert c.request(get(host="staff.test")).status == 421
    assert not backend.exchanges


def test_a_valid_certificate_of_one_policy_is_none_for_another(start, port, backend, pki, staff, badge):
    """A connection made for staff.test with its certificate asks for a host with another authority."""
    other = pki.authority("Other CA")
    config = site(port, backend.port, pki.leaf("open.test", "staff.test", "other.test"))
    config["tls"] = {name: {"clients": {"certificate": "required", "ca": ca.chain_file}} for name, ca in (("staff", staff), ("other", other))}
    config["listeners"]["web"]["hosts"] = {"staff.test": {"to": "app", "tls": "staff"}, "other.test": {"to": "app", "tls": "other"}}
    start(config)
    assert try_request(port, pki, "staff.test", certificate=badge) == 200
    assert try_request(port, pki, "staff.test", certificate=badge, host="other.test") == 421


def test_after_a_421_the_connection_serves_its_own_host(start, port, backend, pki, staff):
    guarded(start, port, backend, pki, staff)
    with tls_client(port, pki, name="open.test") as c:
        assert c.request(get(host="staff.test")).status == 421
        assert c.request(get(host="open.test")).status == 200


def test_hosts_of_equal_policy_share_a_connection(start, port, backend, pki, staff, badge):
    guarded(start, port, backend, pki, staff, **{"other.test": {"to": "app", "tls": "staff"}})
    assert try_request(port, pki, "staff.test", certificate=badge, host="other.test") == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_made_without_a_certificate_does_not_open_a_guarded_host(start, port, backend, pki, staff, version):
    """Resumption would skip the certificate: the ticket of open.test must not be taken for staff.test."""
    guarded(start, port, backend, pki, staff)
    c = context(pki, least=version, most=version)
    with tls_client(port, name="open.test", ssl_context=c) as client:
        client.request(get(host="open.test", fields=["Connection: close"]))
        session = client.socket.session
        client.assert_closed()
    try:
        with tls_client(port, name="staff.test", ssl_context=c, session=session) as client:
            status = client.request(get(host="staff.test")).status
    except (ssl.SSLError, ConnectionError, Closed):
        status = "refused"
    assert status == "refused" and len(backend.exchanges) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_with_a_certificate_is_resumed(start, port, backend, pki, staff, badge, version):
    guarded(start, port, backend, pki, staff)
    c = context(pki, least=version, most=version, certificate=badge)
    session, resumed = None, []
    for _ in range(3):
        with tls_client(port, name="staff.test", ssl_context=c, session=session) as client:
            assert client.request(get(host="staff.test", fields=["Connection: close"])).status == 200
            resumed.append(client.socket.session_reused)
            session = client.socket.session
            client.assert_closed()
    assert resumed == [False, True, True]


@pytest.mark.parametrize("engine,version", [("openssl", "1.2"), ("openssl", "1.3"), ("native", "1.3")])
def test_a_session_ends_with_the_first_certificate_of_the_clients_chain(start, port, backend, pki, staff, engine, version):
    """The badge is good for months; the intermediate that it came with ends in seconds. Afterwards nothing but a resumption could get in."""
    guarded(start, port, backend, pki, staff, engine=engine)

    def visit(c, session=None):
        with tls_client(port, name="staff.test", ssl_context=c, session=session) as client:
            assert client.request(get(host="staff.test", fields=["Connection: close"])).status == 200
            resumed, session = client.socket.session_reused, client.socket.session
            client.assert_closed()
            return resumed, session

    for seconds in (6, 60):     # the longer one where the machine has other things to do
        end = datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)
        brief = pki.authority(f"Brief CA {engine} {version} {seconds}", issuer=staff, end=end - NOW)
        c = context(pki, least=version, most=version, certificate=pki.leaf(issuer=brief, client=True, common_name="alice"))
        try:
            resumed, session = visit(c, visit(c)[1])
        except REFUSED:
            resumed = False
        if datetime.datetime.utcnow() < brief.certificate.not_valid_after:
            break
    assert resumed
    until(lambda: datetime.datetime.utcnow() > end + datetime.timedelta(seconds=1), "the intermediate's end", seconds=90)
    with pytest.raises(REFUSED):
        visit(c, session)


def test_a_change_of_the_authority_ends_old_sessions(start, port, backend, pki, staff, badge, tmp_path):
    """What a ticket vouches for was checked against another set of authorities."""
    proxy = guarded(start, port, backend, pki, staff)
    c = context(pki, certificate=badge)
    with tls_client(port, name="staff.test", ssl_context=c) as client:
        client.request(get(host="staff.test", fields=["Connection: close"]))
        session = client.socket.session
        client.assert_closed()
    config = proxy.config
    config["tls"]["staff"]["clients"]["ca"] = pki.authority("Newer CA").chain_file
    proxy.reload(config)
    with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
        with tls_client(port, name="staff.test", ssl_context=c, session=session) as client:
            client.request(get(host="staff.test"))


@pytest.mark.parametrize("content", [None, "", "# no certificate\n"], ids=["missing", "empty", "without certificates"])
def test_an_authority_file_without_authorities_refuses_the_configuration(port, pki, staff, tmp_path, content):
    import yaml
    from support.unlade import command
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    config = site(port, 1, pki.leaf("staff.test"), tls={"default": {"clients": {"certificate": "required", "ca": str(file)}}})
    (tmp_path / "unlade.yaml").write_text(yaml.safe_dump(config))
    done = command("check", "-c", tmp_path / "unlade.yaml")
    assert done.returncode == 1 and "ca" in done.stderr + done.stdout


def test_required_without_an_authority_refuses_the_configuration(port, pki, tmp_path):
    import yaml
    from support.unlade import command
    config = site(port, 1, pki.leaf("staff.test"), tls={"default": {"clients": {"certificate": "required"}}})
    (tmp_path / "unlade.yaml").write_text(yaml.safe_dump(config))
    assert command("check", "-c", tmp_path / "unlade.yaml").returncode == 1
