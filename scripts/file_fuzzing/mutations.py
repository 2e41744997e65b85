"""Changes the bytes of a file without knowing what they mean."""

NUMBERS = (0, 1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
MOST_CHANGES = 4


def mutated(content, rng):
    """Returns `content` with one to four random changes."""
    content = bytearray(content)
    for _ in range(rng.randint(1, MOST_CHANGES)):
        rng.choice(CHANGES)(content, rng)
    return bytes(content)


def varint(number):
    """Returns a number >= 0 as protocol buffers and tables of keys write it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _place(content, rng):
    return rng.randrange(len(content)) if content else 0


def _range(content, rng):
    start = _place(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 64, 512)))


def _flip(content, rng):
    if content:
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _set(content, rng):
    if content:
        content[_place(content, rng)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _cut(content, rng):
    del content[_place(content, rng) :]


def _remove(content, rng):
    start, end = _range(content, rng)
    del content[start:end]


def _insert(content, rng):
    place = _place(content, rng)
    content[place:place] = rng.choice((rng.randbytes(8), bytes(rng.choice((1, 16, 512))), b"\xff" * 9 + b"\1"))


def _duplicate(content, rng):
    start, end = _range(content, rng)
    content[start:start] = content[start:end] * rng.choice((1, 1, 2, 50))


def _swap(content, rng):
    a, b = sorted((_range(content, rng), _range(content, rng)))
    if a[1] <= b[0]:
        content[a[0] : b[1]] = content[b[0] : b[1]] + content[a[1] : b[0]] + content[a[0] : a[1]]


def _number(content, rng):
    """Writes a number that lengths and counts have at their ends, in the form of fixed or variable length."""
    place, number = _place(content, rng), rng.choice(NUMBERS)
    size = rng.choice((1, 2, 4, 8, 0))
    written = (number % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big"))) if size else varint(number)
    content[place : place + len(written)] = written


def _head(content, rng):
    del content[rng.choice((0, 4, 8, 16, 48, 64, 512)) :]


CHANGES = (_flip, _flip, _set, _set, _number, _number, _number, _cut, _remove, _insert, _duplicate, _swap, _head)
