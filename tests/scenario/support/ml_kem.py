"""ML-KEM-768's decapsulating side (FIPS 203), for clients that offer X25519MLKEM768. For tests: neither fast nor in constant time."""
import hashlib

_N, _Q, _K = 256, 3329, 3
ENCAPSULATION_KEY, CIPHERTEXT = 1184, 1088


def _reversed_bits(i):
    return int(f"{i:07b}"[::-1], 2)


_ZETAS = [pow(17, _reversed_bits(i), _Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _reversed_bits(i) + 1, _Q) for i in range(128)]


def _ntt(f):
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, _N, 2 * length):
            zeta, i = _ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % _Q
                f[j + length], f[j] = (f[j] - t) % _Q, (f[j] + t) % _Q
        length //= 2
    return f


def _inverse_ntt(f):
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, _N, 2 * length):
            zeta, i = _ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % _Q, zeta * (f[j + length] - t) % _Q
        length *= 2
    return [x * 3303 % _Q for x in f]


def _multiply(f, g):
    h = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a0 * b0 + a1 * b1 * _GAMMAS[i]) % _Q, (a0 * b1 + a1 * b0) % _Q]
    return h


def _add(f, g):
    return [(a + b) % _Q for a, b in zip(f, g)]


def _dot(row, column):
    total = [0] * _N
    for f, g in zip(row, column):
        total = _add(total, _multiply(f, g))
    return total


def _uniform(rho, j, i):
    stream, out, at = hashlib.shake_128(rho + bytes([j, i])).digest(3 * 512), [], 0
    while len(out) < _N:
        a, b, c = stream[at:at + 3]
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < _Q]
        at += 3
    return out[:_N]


def _noise(seed, n):
    """The centred binomial distribution with eta 2."""
    number = int.from_bytes(hashlib.shake_256(seed + bytes([n])).digest(128), "little")
    bits = [number >> i & 1 for i in range(1024)]
    return [(bits[i] + bits[i + 1] - bits[i + 2] - bits[i + 3]) % _Q for i in range(0, 1024, 4)]


def _encode(f, d):
    return sum(x << d * i for i, x in enumerate(f)).to_bytes(32 * d, "little")


def _decode(data, d):
    number = int.from_bytes(data, "little")
    return [(number >> d * i) % (1 << d) for i in range(_N)]


def _compress(f, d):
    return [((x << d + 1) + _Q) // (2 * _Q) % (1 << d) for x in f]


def _decompress(f, d):
    return [(x * 2 * _Q + (1 << d)) >> d + 1 for x in f]


def _g(data):
    digest = hashlib.sha3_512(data).digest()
    return digest[:32], digest[32:]


def _matrix(rho):
    return [[_uniform(rho, j, i) for j in range(_K)] for i in range(_K)]


def encapsulate(public, m):
    """(shared secret, ciphertext) for the 32 random bytes m."""
    t = [_decode(public[384 * i:384 * (i + 1)], 12) for i in range(_K)]
    a = _matrix(public[-32:])
    shared, r = _g(m + hashlib.sha3_256(public).digest())
    y = [_ntt(_noise(r, n)) for n in range(_K)]
    u = [_add(_inverse_ntt(_dot([a[j][i] for j in range(_K)], y)), _noise(r, _K + i)) for i in range(_K)]
    v = _add(_add(_inverse_ntt(_dot(t, y)), _noise(r, 2 * _K)), _decompress(_decode(m, 1), 1))
    return shared, b"".join(_encode(_compress(f, 10), 10) for f in u) + _encode(_compress(v, 4), 4)


class DecapsulationKey:
    def __init__(self, d, z):
        rho, sigma = _g(d + bytes([_K]))
        a = _matrix(rho)
        self._s = [_ntt(_noise(sigma, n)) for n in range(_K)]
        errors = [_ntt(_noise(sigma, _K + n)) for n in range(_K)]
        self.public = b"".join(_encode(_add(_dot(a[i], self._s), errors[i]), 12) for i in range(_K)) + rho
        self._z = z

    def decapsulate(self, ciphertext):
        u = [_decompress(_decode(ciphertext[320 * i:320 * (i + 1)], 10), 10) for i in range(_K)]
        v = _decompress(_decode(ciphertext[960:], 4), 4)
        product = _inverse_ntt(_dot(self._s, [_ntt(f) for f in u]))
        m = _encode(_compress([(x - y) % _Q for x, y in zip(v, product)], 1), 1)
        shared, again = encapsulate(self.public, m)
        return shared if again == ciphertext else hashlib.shake_256(self._z + ciphertext).digest(32)
