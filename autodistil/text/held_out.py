"""Which sentences no training reads, so that students can be measured on them."""

import hashlib

_SHARE = 32
"""One sentence in so many is held out."""


def is_held_out(sentence: str) -> bool:
    """Whether a sentence is left out of training and kept for measuring.

    The sentence alone decides, by the first byte of its sha256: every program that asks gets the
    same answer, whatever files the sentence stands in and in which order they are read. About one
    sentence in 32 is held out. White space around the sentence does not count.
    """
    content = sentence.strip().encode(errors="surrogatepass")
    return hashlib.sha256(content).digest()[0] < 256 // _SHARE
