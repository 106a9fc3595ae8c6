from pathlib import Path

import numpy as np
import pytest

from autodistil.text.growing_array import GrowingArray


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("lengths", [[], [0], [1], [3, 0, 5], [7] * 1000])
def test_the_file_is_the_one_that_numpy_saves(
    tmp_path: Path, lengths: list[int], dtype: type[np.signedinteger]
) -> None:
    pieces = [np.arange(length) + start for start, length in enumerate(lengths)]
    with GrowingArray(tmp_path / "grown.npy", dtype) as array:
        for piece in pieces:
            array.append(piece)
        assert len(array) == sum(lengths)
    np.save(tmp_path / "saved.npy", np.concatenate([np.zeros(0), *pieces]).astype(dtype))
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_an_array_is_closed_once(tmp_path: Path) -> None:
    with GrowingArray(tmp_path / "x.npy", np.int32) as array:
        array.append(np.ones(2))
        array.close()
    assert np.load(tmp_path / "x.npy").tolist() == [1, 1]
