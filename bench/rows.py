"""What the bench does and asks for: its rows, each with its load, its peers and its targets."""
import dataclasses

HTTP_PROXIES = ("nginx", "haproxy", "h2o")
RIVALS = (*HTTP_PROXIES, "hitch")  # whose best counts; stunnel is shown, but was never made to be fast

TLS13 = "-V 1.3 -K TLS_AES_128_GCM_SHA256 -g X25519"
TLS12 = "-V 1.2 -k ECDHE+AES128+AESGCM -g X25519:P-256"  # P-256 is the certificate's
BODY = 100 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Target:
    """Unlade's median is to be at most limit times the best median among rivals; without rivals, at most limit."""
    limit: float
    rivals: tuple = RIVALS
    words: str = "the best"


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing to do, the same for every peer.

    peers: (peer, its face) in the order in which they run. load: the load generator and its arguments. count:
    operations, which --scale multiplies. unit: of the figure that counts. body: bytes that each operation must carry.
    repetitions: fewer or more than others have, as (least, most). extra: not run unless asked for."""
    title: str
    short: str
    peers: tuple
    load: str
    count: int
    unit: str
    targets: tuple = ()
    body: int = 0
    certificate: str = "ec"
    workers: int = 1
    repetitions: tuple = (1, 1000)
    extra: bool = False


def over_http(*others, bulk=False):
    """Peers of a row that any proxy can serve: those that know no HTTP relay its bytes."""
    http, tcp = ("bulk", "tcp_bulk") if bulk else ("http", "tcp")
    return tuple((p, http) for p in ("unlade", *HTTP_PROXIES)) + tuple(
        (p, "plain" if p == "relay" else tcp) for p in ("hitch", *others))


def over_tcp(face):
    return tuple((p, face) for p in ("unlade", "nginx", "haproxy", "hitch", "stunnel"))


def connections(kind, targets=()):
    """New connections, 32 at any time."""
    title, short, options, certificate, count = CONNECTIONS[kind]
    return Row(f"{title}, one tiny request, close", short, over_http("stunnel"), f"tlsload -m conn -c 32 {options} -u /0 {TLS13}",
               count, "µs", targets, certificate=certificate)


def burst(kind, size, targets=()):
    """New connections, of which so many say hello at one moment, and the next when all of these are done."""
    title, short, options, certificate, count = CONNECTIONS[kind]
    words = f"in bursts of {size}" if size > 1 else "one after the other"
    return Row(f"{title}, {words}", f"{short}, {words}", (("unlade", "http"), ("nginx", "http")),
               f"tlsload -m conn -c {size} -B {options} -u /0 {TLS13}", count, "µs", targets, certificate=certificate)


def of_nginx(limit):
    return Target(limit, ("nginx",), "nginx")


CHEAPER = (Target(0.80),)
CONNECTIONS = {  # kind: (title, short, options of the load, certificate, operations)
    "full": ("full TLS 1.3 handshake (ECDSA P-256, X25519)", "full handshake", "", "ec", 3000),
    "rsa": ("full TLS 1.3 handshake (RSA-2048, X25519)", "full handshake, RSA-2048", "", "rsa", 2000),
    "resumed": ("resumed TLS 1.3 handshake", "resumed handshake", "-r", "ec", 3000),
}

ROWS = {
    "full": connections("full", (*CHEAPER, of_nginx(0.34))),
    "rsa": connections("rsa", (of_nginx(0.50),)),
    "resumed": connections("resumed", (*CHEAPER, of_nginx(0.42))),
    "full_burst1": burst("full", 1),
    "full_burst8": burst("full", 8),
    "full_burst32": burst("full", 32, (of_nginx(0.30),)),
    "rsa_burst1": burst("rsa", 1),
    "rsa_burst8": burst("rsa", 8),
    "rsa_burst32": burst("rsa", 32, (of_nginx(0.36),)),
    "resumed_burst1": burst("resumed", 1),
    "resumed_burst8": burst("resumed", 8),
    "resumed_burst32": burst("resumed", 32, (of_nginx(0.32),)),
    "keep": Row("keep-alive GET of 1 KB, 64 connections", "keep-alive GET of 1 KB",
                over_http("stunnel", "relay"), f"tlsload -m keep -c 64 -u /1k {TLS13}", 50000, "µs",
                (Target(0.80, HTTP_PROXIES, "the best HTTP proxy"), Target(1.05, ("hitch",), "hitch, which does not parse")),
                body=1024),
    "h2": Row("HTTP/2 GET of 1 KB, 16 connections of 32 streams", "HTTP/2 GET of 1 KB",
              tuple((p, "http") for p in ("unlade", *HTTP_PROXIES)), "h2load -c 16 -m 32", 60000, "µs", CHEAPER, body=1024),
    "download": Row("10 MB download, 8 connections", "10 MB download", over_http("relay", bulk=True),
                    f"tlsload -m keep -c 8 -u /10m {TLS13}", 160, "ns/KB", (Target(0.50),), body=BODY // 10),
    "upload": Row("100 MB upload, 8 connections", "100 MB upload", over_http("relay", bulk=True),
                  f"tlsload -m keep -c 8 -u /0 -b {BODY} {TLS13}", 16, "ns/KB", (Target(0.65),), body=BODY),
    "idle": Row("memory of an idle TLS 1.3 connection with HTTP/1.1 keep-alive, at 5,000 of them", "idle connection, 5,000 open",
                over_http("stunnel"), f"tlsload -m idle -u /1k {TLS13}", 5000, "KB", (Target(1.5, (), "KB"),), repetitions=(1, 3)),
    "idle15k": Row("memory of an idle TLS 1.3 connection with HTTP/1.1 keep-alive, at 15,000 of them",
                   "idle connection, 15,000 open", over_http("stunnel"), f"tlsload -m idle -u /1k {TLS13}", 15000, "KB",
                   (Target(1.5, (), "KB"),), repetitions=(1, 3)),
    "latency": Row("99th percentile of the latency at 2,000 requests of 1 KB a second", "p99 at 2,000 requests/s",
                   over_http(), f"tlsload -m keep -c 16 -R 2000 -u /1k {TLS13}", 4000, "µs p99", (Target(1.15),),
                   body=1024, repetitions=(9, 1000)),
    "relay": Row("10 MB download in TCP mode, 8 connections", "10 MB down, TCP mode", over_tcp("tcp_bulk"),
                 f"tlsload -m keep -c 8 -u /10m {TLS13}", 160, "ns/KB", body=BODY // 10),
    "relay_up": Row("100 MB upload in TCP mode, 8 connections", "100 MB up, TCP mode", over_tcp("tcp_bulk"),
                    f"tlsload -m keep -c 8 -u /0 -b {BODY} {TLS13}", 16, "ns/KB", body=BODY),
    "relay_keep": Row("request and answer of 1 KB in TCP mode, 64 connections", "1 KB and back, TCP mode", over_tcp("tcp"),
                      f"tlsload -m keep -c 64 -u /1k {TLS13}", 50000, "µs", body=1024),
    "full12": Row("full TLS 1.2 handshake (ECDSA P-256, X25519), one tiny request, close", "full handshake, TLS 1.2",
                  over_http(), f"tlsload -m conn -c 32 -u /0 {TLS12}", 3000, "µs", extra=True),
    "full_2": Row("full TLS 1.3 handshake with two workers, nothing pinned", "full handshake, two workers",
                  over_http(), f"tlsload -m conn -c 32 -u /0 {TLS13}", 3000, "µs", workers=2, extra=True),
    "keep_2": Row("keep-alive GET of 1 KB with two workers, nothing pinned", "keep-alive, two workers",
                  over_http(), f"tlsload -m keep -c 64 -u /1k {TLS13}", 50000, "µs", workers=2, body=1024, extra=True),
}

# What nothing on this machine can go below: name: (title, program, arguments, unit). The TLS library alone, in memory,
# with both ends in one process, the server's calls timed; "floor" has the OpenSSL that Unlade has, "floor_system" the
# peers'. The kernel's part is the row "relay" among the peers: bytes passed on without TLS.
FLOORS = {
    f"{name}_{library}": (f"{title}, {words}", program, f"@CERT@ @KEY@ {arguments}", unit)
    for library, program, words in (("own", "floor", "Unlade's OpenSSL"), ("system", "floor_system", "the system's OpenSSL"))
    for name, title, arguments, unit in (
        ("full", "server side of a full TLS 1.3 handshake", "1.3 full X25519 2000", "µs"),
        ("resumed", "server side of a resumed TLS 1.3 handshake", "1.3 resumed X25519 2000", "µs"),
        ("record", "a record of 16 KB written through SSL_write", "1.3 full X25519 20000 bulk", "µs"))
}

# A handshake in memory (handshake.c): name: (what, engine, how many come together, µs at most or None). "native": our engine
# with the multi-buffer library, "plain": without it, "openssl": OpenSSL behind the same calls.
MEMORY = {
    f"{what}_{engine}_{together}": (what, engine, together, limit)
    for what, limits in (("full", {("native", 8): 40, ("native", 1): 60, ("plain", 1): 110}), ("resumed", {("native", 8): 30}),
                         ("mlkem", {("native", 8): 70}), ("rsa", {("native", 8): 170}))
    for engine in ("native", "plain", "openssl") for together in (1, 8)
    for limit in (limits.get((engine, together)),)
}
MEMORY_WORDS = {"full": "full, ECDSA P-256, X25519", "resumed": "resumed, X25519", "mlkem": "full, ECDSA P-256, X25519MLKEM768",
                "rsa": "full, RSA-2048, X25519", "native": "ours, with the multi-buffer library", "plain": "ours, without it",
                "openssl": "OpenSSL", 1: "alone", 8: "eight together"}

DESCRIPTORS_BESIDE = 200  # that a proxy has open besides its connections, at most


def why_unfit(row, peer, face, open_files):
    """Why this peer cannot take part in this row with so many open files, or None."""
    if row.unit != "KB" or face != "tcp":
        return None
    needed = 2 * row.count + DESCRIPTORS_BESIDE
    if needed <= open_files:
        return None
    return f"keeps a connection to the server for each client: {needed:,} open files, and {open_files:,} are allowed"
