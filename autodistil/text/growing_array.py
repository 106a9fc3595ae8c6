"""An array that is written to disk piece by piece."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt


class GrowingArray:
    """A one-dimensional .npy file that is appended to; `numpy.load` reads it once it is closed.

    Args:
        path: The file; replaced if it is there.
        dtype: Type of the values.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._file = path.open("wb")
        self._write_header()

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        """Use as a context manager to close the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the file."""
        self.close()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add values at the end.

        Args:
            values: [n], of any type that can be cast to that of the array.
        """
        self._file.write(values.astype(self._dtype, copy=False).tobytes())
        self._length += len(values)

    def close(self) -> None:
        """Write how many values there are, and close the file."""
        if self._file.closed:
            return
        end = self._file.tell()
        self._file.seek(0)
        self._write_header()  # numpy leaves room in it for any length, so that it fits again
        if self._file.tell() + self._length * self._dtype.itemsize != end:
            raise AssertionError("the header of a .npy file changed its size with the array's")
        self._file.close()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._length,),
            },
        )
