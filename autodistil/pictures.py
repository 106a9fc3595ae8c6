"""Pictures as files."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from autodistil.errors import InvalidInput

_KINDS = (".png", ".svg")


def check_picture(path: Path) -> None:
    """Refuse what is no name of a picture, before any work is done for it.

    Raises:
        InvalidInput: The name ends neither in .png nor in .svg.
    """
    if path.suffix not in _KINDS:
        raise InvalidInput(f"{path}: a picture's name ends in {' or '.join(_KINDS)}.")


def use_cost_scale(axis: Axes) -> None:
    """Make the x-axis one of costs: logarithmic, with few marks such as 50M, 100M, and 200M."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_minor_formatter(NullFormatter())


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date and random ids, the same scores give the same SVG.
    with rc_context({"svg.hashsalt": "autodistil"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
