"""The Huffman code of HPACK (RFC 7541, Appendix B), made from the lengths of its codes.

The code is canonical: codes of one length follow each other in the order of their symbols, so that the lengths say
all. Reading goes bit by bit; clients send what repeats as an index, so that little is read this way.
"""

from typing import Final

__all__ = ["HuffmanError", "decode", "encode"]

# One letter a symbol: A for 5 bits, Z for 30. The end of string, 30 ones, is no symbol that may be sent.
_LENGTHS: Final = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHF"
    "IBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIX"
    "PRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWV"
)
_EOS_BITS: Final = 30


class HuffmanError(ValueError):
    """The bits are no text in this code."""


def _codes() -> dict[int, tuple[int, int]]:
    """Give code and length by symbol."""
    sized = sorted((ord(letter) - ord("A") + 5, symbol) for symbol, letter in enumerate(_LENGTHS))
    codes: dict[int, tuple[int, int]] = {}
    code, before = 0, sized[0][0]
    for bits, symbol in sized:
        code <<= bits - before
        codes[symbol] = (code, bits)
        code, before = code + 1, bits
    return codes


_CODES: Final = _codes()
_EOS: Final = (1 << _EOS_BITS + 1) - 1
# A code behind a one, which tells 0 from 00.
_SYMBOLS: Final = {1 << bits | code: symbol for symbol, (code, bits) in _CODES.items()}


def decode(data: bytes) -> bytes:
    """Read a text.

    Raises:
        HuffmanError: It holds the end of string, or does not end as it must: with fewer than eight ones.
    """
    found = bytearray()
    prefix = 1
    for byte in data:
        for shift in (7, 6, 5, 4, 3, 2, 1, 0):
            prefix = prefix << 1 | byte >> shift & 1
            symbol = _SYMBOLS.get(prefix)
            if symbol is not None:
                found.append(symbol)
                prefix = 1
            elif prefix == _EOS:
                raise HuffmanError("the end of string was sent")
    if prefix > 0xFF or prefix & prefix + 1:
        raise HuffmanError("the text ends within a symbol")
    return bytes(found)


def encode(text: bytes) -> bytes:
    """Write a text."""
    value = count = 0
    for symbol in text:
        code, bits = _CODES[symbol]
        value = value << bits | code
        count += bits
    rest = -count % 8
    return (value << rest | (1 << rest) - 1).to_bytes((count + rest) // 8, "big")
