"""Find the best student within a budget, in the candidate tables of bundles on disk."""

from cli.options import (
    Bundles,
    Flops,
    Macs,
    Params,
    SizeBytes,
    build_budget,
    open_bundles,
)
from cli.output import STUDENT_COLUMNS, JsonOption, print_json, print_table


def command(
    bundles: Bundles = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    json_: JsonOption = False,
) -> None:
    """Find the best student within a budget, in the candidate tables of bundles on disk."""
    from autodistil.search import entries_of, search

    budget = build_budget(macs, flops, params, size_bytes)
    choice = search(entries_of(open_bundles(bundles).values()), budget)
    report = choice.report()
    if json_:
        print_json(report)
        return
    rows = [{"": "choice", **report["choice"]}]
    rows += [{"": name, **row} for name, row in report["neighbours"].items() if row]
    left_out = ("paper_params", "paper_macs")
    columns = {name: key for name, key in STUDENT_COLUMNS.items() if key not in left_out}
    columns = {"": "", **columns, "relation": "relation_loss", "similarity": "similarity_loss"}
    title = f"{choice.feasible} of {choice.considered} students are within the budget"
    print_table(title, rows, columns)
