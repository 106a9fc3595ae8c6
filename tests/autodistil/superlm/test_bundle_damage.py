"""Bytes changed at random."""

import random

import pytest

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import CANDIDATES, SPEC, WEIGHTS, SuperLM, open_superlm
from tests.factories import rehash


@pytest.mark.parametrize(
    "name",
    [WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", SPEC],
)
@pytest.mark.parametrize("vouched", [False, True])
def test_random_damage_is_never_another_error(
    stock_copy: SuperLM, name: str, vouched: bool
) -> None:
    """Flipped and cut bytes are an `InvalidBundle`, whether or not the spec vouches for them.

    Damage can leave a well-formed bundle with another hash: when the spec vouches for the damaged
    file, or when it hit free text of the spec itself.
    """
    rng = random.Random(f"{name} {vouched}")
    path, spec = stock_copy.folder / name, stock_copy.folder / SPEC
    whole, whole_spec = path.read_bytes(), spec.read_bytes()
    refusals = 0
    for _ in range(60):
        content = bytearray(whole)
        kind = rng.choice(["flip", "flips", "cut", "zeros", "insert"])
        place = rng.randrange(min(len(whole), rng.choice([64, 4096, len(whole)])))
        if kind == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "flips":
            for _ in range(20):
                content[rng.randrange(len(content))] = rng.randrange(256)
        elif kind == "cut":
            del content[place:]
        elif kind == "zeros":
            content[place : place + 16] = bytes(16)
        else:
            content[place:place] = rng.randbytes(8)
        path.write_bytes(content)
        if vouched and name != SPEC:
            rehash(stock_copy.folder)
        try:
            opened = open_superlm(stock_copy.folder)
        except InvalidBundle as error:
            refusals += 1
            assert error.detail
        else:
            assert vouched or name == SPEC
            assert opened.sha256 != stock_copy.sha256 or content == whole
        path.write_bytes(whole)
        spec.write_bytes(whole_spec)
    assert refusals >= (10 if vouched else 60 if name != SPEC else 40)
    assert open_superlm(stock_copy.folder) == stock_copy
