"""`autodistil`: the commands put together, and errors turned into exit statuses.

0: done. 2: a wrong call. 3: a budget that cannot be met. 1: anything else.
"""

import os
import sys

import typer

from autodistil.errors import AutoDistilError, InvalidInput
from cli import (
    device,
    evaluate,
    extract,
    front,
    keys,
    output,
    partition,
    request,
    rescore,
    search,
    space,
    superlm,
    train,
    up,
    workers,
)
from client import ApiProblem

app = typer.Typer(
    name="autodistil",
    help="Smaller language models that fit a budget: train SuperLMs, extract students, serve them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    up,
    partition,
    train,
    rescore,
    search,
    front,
    extract,
    evaluate,
    space,
    request,
    workers,
):
    app.command(module.__name__.rpartition(".")[2])(module.command)

app.add_typer(device.app, name="device")
app.add_typer(superlm.app, name="superlm")
app.add_typer(keys.app, name="keys")

_BUDGET_PROBLEMS = (
    "infeasible-budget",
    "latency-missed",
    "unknown-device",
    "unprofiled-conditions",
)
_CALL_PROBLEMS = ("invalid-input", "invalid-request", "teacher-mismatch", "unknown-superlm")


def main() -> None:
    """Run the command line."""
    # Progress bars of libraries would write between ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except AutoDistilError as error:
        output.print_error(error)
        sys.exit(_exit_status(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _exit_status(error: AutoDistilError) -> int:
    kind = error.kind if isinstance(error, ApiProblem) else error.type
    if kind in _BUDGET_PROBLEMS:
        return 3
    if isinstance(error, InvalidInput) or kind in _CALL_PROBLEMS:
        return 2
    return 1


if __name__ == "__main__":
    main()
