"""The mixture for a budget, among those that are surely better than students as cheap."""

from autodistil.errors import InfeasibleBudget, InvalidInput
from autodistil.mixtures.report import MixtureReport, ProposedMixture
from autodistil.search.budget import Budget
from autodistil.spaces.cost import Cost
from autodistil.spaces.spec import SuperLMSpec


def choose_mixture(report: MixtureReport, spec: SuperLMSpec, budget: Budget) -> ProposedMixture:
    """The best mixture within a budget, of those that held.

    Args:
        report: The report of a search.
        spec: The SuperLM.
        budget: Limits on the exact cost.

    Raises:
        InvalidInput: A student of the sub-space is better within the budget, no mixture held at
            all, or the budget limits latency, which nobody predicts for mixtures.
        InfeasibleBudget: None that held fits.
    """
    if budget.latency is not None:
        raise InvalidInput(
            "The latency of mixtures is not predicted: limit macs, params, or bytes."
        )
    if not report.held:
        raise InvalidInput(
            f"No mixture of {report.superlm} was surely better than its students on other text; "
            "'autodistil extract' gives those."
        )
    limits = budget.limits(spec.teacher_cost)
    within = [row for row in report.held if not _exceeded(spec.cost_of(row.mixture), limits)]
    if not within:
        raise _infeasible(report, spec, limits)
    best = max(within, key=lambda row: row.agreement)
    students = [
        student
        for student in report.grid
        if not _exceeded(spec.cost_of(student.architecture), limits)
    ]
    rival = max(students, key=lambda student: student.agreement, default=None)
    if rival is not None and rival.agreement >= best.agreement:
        raise InvalidInput(
            f"Within this budget the student {rival.architecture.name} is better than any mixture "
            f"that held ({rival.agreement:.4f}, {best.mixture.name} {best.agreement:.4f}): "
            f"'autodistil extract --architecture {rival.architecture.name}' gives it."
        )
    return best


def _exceeded(found: Cost, limits: dict[str, int | float]) -> dict[str, float]:
    """By how many times each limit that does not hold is exceeded."""
    ratios = {axis: getattr(found, axis) / (limit or 1) for axis, limit in limits.items()}
    return {axis: ratio for axis, ratio in ratios.items() if getattr(found, axis) > limits[axis]}


def _infeasible(
    report: MixtureReport, spec: SuperLMSpec, limits: dict[str, int | float]
) -> InfeasibleBudget:
    """Why no mixture fits, in the terms of the one nearest to fitting."""
    by_excess = {row.mixture: _exceeded(spec.cost_of(row.mixture), limits) for row in report.held}
    nearest = min(by_excess, key=lambda mixture: max(by_excess[mixture].values()))
    axis = max(by_excess[nearest], key=lambda axis: by_excess[nearest][axis])
    has = getattr(spec.cost_of(nearest), axis)
    return InfeasibleBudget(
        f"No mixture that held fits: the budget asks for {axis} at most {limits[axis]:,}, the "
        f"nearest, {nearest.name}, has {has:,}. 'autodistil extract' knows smaller students.",
        binding_limit=axis,
        asked=limits[axis],
        least_possible=min(getattr(spec.cost_of(mixture), axis) for mixture in by_excess),
        nearest_mixture=nearest.model_dump(mode="json"),
    )
