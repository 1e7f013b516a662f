"""ssl.SSLContexts of servers."""
import ssl


def server_context(certificate, alpn=()):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(certificate.chain_file, certificate.key_file)
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c
