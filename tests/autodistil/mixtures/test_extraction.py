import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertModel

from autodistil.errors import InfeasibleBudget, InvalidInput, ParityFailure
from autodistil.extraction.export import check_parity
from autodistil.extraction.extraction import PHASES
from autodistil.mixtures.choice import choose_mixture
from autodistil.mixtures.extraction import MixtureReceipt, extract_mixture
from autodistil.mixtures.front import Estimate
from autodistil.mixtures.picture import plot_mixtures
from autodistil.mixtures.report import (
    GridStudent,
    MixtureReport,
    MixtureSettings,
    ProposedMixture,
    read_report,
    write_report,
)
from autodistil.models.model_folder import load_folder, read_facts
from autodistil.search.budget import Budget
from autodistil.spaces.cost import cost
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.spec import FileEntry
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from tests.autodistil.extraction.loading import run_elsewhere
from tests.autodistil.test_pictures import PNG, texts
from tests.factories import random_batch

MIXED = Mixture(hidden=32, head_width=8, heads=(4, 2, 2), intermediate=(32, 128, 64))
ONLY_FFN = Mixture(hidden=32, head_width=8, heads=(4, 4), intermediate=(64, 128))
ONLY_HEADS = Mixture(hidden=16, head_width=8, heads=(2, 4), intermediate=(64, 64))
PLAIN = Mixture(hidden=16, head_width=8, heads=(2, 2), intermediate=(128, 128))
FREE = Mixture(hidden=40, head_width=16, heads=(3, 2), intermediate=(48, 80))
WEIGHTS = "model.safetensors"


def test_a_mixture_loads_in_a_process_that_knows_nothing_of_us(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    phases: list[str] = []
    folder = tmp_path / "mixture"
    receipt = extract_mixture(stock_superlm, MIXED, folder, on_phase=phases.append)
    assert tuple(phases) == PHASES
    batch = random_batch(stock_superlm.spec.encoder.vocab_size, tokens=20)
    name, found = run_elsewhere(folder, batch, trust=True)
    assert name == "StudentModel"
    given = (batch.input_ids, batch.attention_mask)
    expected = load_elastic(stock_superlm)(*given, MIXED).hidden
    assert (found - expected)[batch.attention_mask.bool()].abs().max() <= 1e-5
    for name, entry in receipt.files.items():
        assert FileEntry.of(folder / name) == entry
    assert receipt.files[WEIGHTS].size_bytes == receipt.cost.size_bytes
    assert MixtureReceipt.model_validate_json(receipt.model_dump_json()) == receipt
    card = (folder / "README.md").read_text()
    for part in (MIXED.name, f"{receipt.cost.macs:,}", "trust_remote_code=True", "4, 2, 2"):
        assert part in card


@pytest.mark.parametrize("mixture", [ONLY_FFN, ONLY_HEADS, PLAIN, FREE], ids=lambda m: m.name)
def test_every_kind_of_mixture_has_parity_and_is_scored_like_any_model(
    mixture: Mixture, stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = free_superlm if mixture is FREE else stock_superlm
    receipt = extract_mixture(superlm, mixture, tmp_path)
    assert receipt.parity.max_abs_difference <= receipt.parity.tolerance == 1e-5
    loaded = load_folder(tmp_path)
    assert receipt.stock == (type(loaded.model) is BertModel) == (mixture is PLAIN)
    assert loaded.model.num_parameters() == receipt.cost.params
    facts = read_facts(tmp_path)
    assert (facts.macs, facts.params) == (receipt.cost.macs, receipt.cost.params)
    if mixture is not PLAIN:
        with pytest.raises(ValueError, match="custom code"):
            AutoModel.from_pretrained(tmp_path, trust_remote_code=False)


def test_a_mixture_can_be_fine_tuned_and_saved(stock_superlm: SuperLM, tmp_path: Path) -> None:
    from autodistil.models.student_model import StudentModel

    extract_mixture(stock_superlm, MIXED, tmp_path)
    model = StudentModel.from_pretrained(tmp_path)
    batch = random_batch(stock_superlm.spec.encoder.vocab_size)
    model(batch.input_ids, batch.attention_mask).pooler_output.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    model.save_pretrained(tmp_path / "again")
    again = StudentModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


def test_a_config_without_all_layers_is_refused(stock_superlm: SuperLM, tmp_path: Path) -> None:
    extract_mixture(stock_superlm, MIXED, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "layer_heads": [4, 2]}))
    with pytest.raises(ParityFailure, match="every layer"):
        check_parity(stock_superlm, MIXED, tmp_path, load_elastic(stock_superlm))


def test_other_weights_fail_the_parity_check(stock_superlm: SuperLM, tmp_path: Path) -> None:
    def spoil(phase: str) -> None:
        if phase == "verifying":
            tensors = load_file(tmp_path / WEIGHTS)
            tensors["encoder.layer.1.output.dense.weight"][0, -1] += 1.0
            save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})

    with pytest.raises(ParityFailure, match="differs by"):
        extract_mixture(stock_superlm, MIXED, tmp_path, on_phase=spoil)


def test_a_mixture_of_a_sentence_embedder_says_how_to_pool(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    spec = stock_superlm.spec.model_copy(update={"pooling": "mean"})
    extract_mixture(replace(stock_superlm, spec=spec), MIXED, tmp_path)
    assert load_folder(tmp_path).mean_pooled


# --- choice ----------------------------------------------------------------------------------


def make_report(superlm: SuperLM, held: tuple[tuple[Mixture, float], ...]) -> MixtureReport:
    """A report in which the agreement of a student is its MACs in units of the largest one's."""
    spec = superlm.spec
    most = max(candidate.macs for candidate in superlm.candidates)

    def row(mixture: Mixture, agreement: float) -> ProposedMixture:
        return ProposedMixture(
            mixture=mixture,
            cost=cost(mixture, spec.encoder, 4),
            selection=agreement,
            agreement=agreement,
            rival="L2-H16-A2x8-F32",
            gain=Estimate(mean=0.1, low=0.05, high=0.15),
            equal=None,
            macs_saved=None,
        )

    return MixtureReport(
        superlm=spec.reference,
        weights_sha256=superlm.spec.files["weights.safetensors"].sha256,
        teacher="t",
        corpus_sha256="c",
        settings=MixtureSettings(),
        space_size=504,
        evaluated=10,
        selection_batches=3,
        confirmation_batches=6,
        grid=tuple(
            GridStudent(
                architecture=c.architecture,
                macs=c.macs,
                selection=c.macs / most,
                agreement=c.macs / most,
            )
            for c in superlm.candidates
        ),
        held=tuple(row(*pair) for pair in held),
        dropped=(row(PLAIN, 0.0),),
        gain=Estimate(mean=0.01, low=0.0, high=0.02),
    )


def test_the_best_mixture_within_every_limit_is_chosen(stock_superlm: SuperLM) -> None:
    spec = stock_superlm.spec
    report = make_report(stock_superlm, ((ONLY_HEADS, 0.5), (ONLY_FFN, 2.0), (MIXED, 3.0)))
    counted = {m: cost(m, spec.encoder, 4) for m in (ONLY_HEADS, ONLY_FFN, MIXED)}
    for mixture, found in counted.items():
        chosen = choose_mixture(report, spec, Budget(macs=found.macs, params=found.params))
        assert chosen.mixture == mixture
    share = Budget(macs="100%")
    assert choose_mixture(report, spec, share).mixture == MIXED
    small = Budget(macs="100%", size_bytes=counted[ONLY_HEADS].size_bytes)
    assert choose_mixture(report, spec, small).mixture == ONLY_HEADS


def test_a_budget_that_no_mixture_fits_is_refused_with_the_nearest(stock_superlm: SuperLM) -> None:
    report = make_report(stock_superlm, ((ONLY_FFN, 2.0), (MIXED, 3.0)))
    with pytest.raises(InfeasibleBudget, match=ONLY_FFN.name) as caught:
        choose_mixture(report, stock_superlm.spec, Budget(macs="100%", params="1K"))
    counted = cost(ONLY_FFN, stock_superlm.spec.encoder, 4)
    assert caught.value.members["binding_limit"] == "params"
    assert caught.value.members["least_possible"] == counted.params
    json.dumps(caught.value.problem())


def test_where_a_student_is_better_it_is_named(stock_superlm: SuperLM) -> None:
    report = make_report(stock_superlm, ((ONLY_HEADS, 0.5),))
    with pytest.raises(InvalidInput, match=stock_superlm.spec.space.largest.name):
        choose_mixture(report, stock_superlm.spec, Budget(macs="100%"))


def test_impossible_choices_are_refused(stock_superlm: SuperLM) -> None:
    spec, report = stock_superlm.spec, make_report(stock_superlm, ())
    with pytest.raises(InvalidInput, match="No mixture of stock@1 was surely better"):
        choose_mixture(report, spec, Budget(macs="100%"))
    latency = Budget.model_validate({"latency": {"ms": 5, "device": "d"}})
    with pytest.raises(InvalidInput, match="latency"):
        choose_mixture(report, spec, latency)


# --- the report ------------------------------------------------------------------------------


def test_a_report_is_read_back(stock_superlm: SuperLM, tmp_path: Path) -> None:
    report = make_report(stock_superlm, ((MIXED, 3.0),))
    write_report(report, tmp_path / "new" / "report.json")
    assert read_report(tmp_path / "new" / "report.json") == report
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"[]", b"{", b'{"format": "autodistil-mixtures-2"}', b"\xff", b'{"held": [{}]}'],
)
def test_other_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"report\.json"):
        read_report(path)


@pytest.mark.parametrize("held", [(), ((ONLY_HEADS, 0.5), (MIXED, 3.0))])
def test_the_fronts_are_drawn(
    held: tuple[tuple[Mixture, float], ...], stock_superlm: SuperLM, tmp_path: Path
) -> None:
    report = make_report(stock_superlm, held)
    plot_mixtures(report, tmp_path / "fronts.svg")
    drawn = texts(tmp_path / "fronts.svg")
    assert "<!-- students of the sub-space -->" in drawn
    assert "<!-- mixture that did not hold -->" in drawn
    assert ("<!-- with mixtures that held -->" in drawn) == bool(held)
    plot_mixtures(report, tmp_path / "fronts.png")
    assert (tmp_path / "fronts.png").read_bytes().startswith(PNG)
    with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
        plot_mixtures(report, tmp_path / "fronts.gif")
