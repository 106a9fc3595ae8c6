"""The proof that an exported student computes what the SuperLM does with that student active."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput, ParityFailure
from autodistil.extraction.receipt import Parity
from autodistil.families.architecture import Architecture
from autodistil.models.own_models import own_module
from autodistil.models.sentence_folder import read_sentence_folder
from autodistil.spaces.embedding import SentenceEmbedding, Vectors
from autodistil.superlm.bundle import SuperLM

if TYPE_CHECKING:
    from torch import Tensor

    from autodistil.models.elastic import ElasticEncoder

    Run = Callable[[Tensor, Tensor], Tensor]
    """Token ids and attention mask, [batch, tokens] each, to the last hidden state, [batch, tokens,
    hidden]."""

PARITY_TOLERANCE = 1e-5


def check_parity(
    superlm: SuperLM,
    architecture: Architecture,
    folder: Path,
    reference: "ElasticEncoder",
    vectors: Vectors = Vectors.TEACHER,
    seed: int = 0,
) -> Parity:
    """Load the exported folder as a user would and compare it with the SuperLM.

    Of a sentence embedder's student, its sentence vectors are compared as well: pooled, mapped, and
    normalised by the folder's own files.

    Args:
        superlm: The SuperLM.
        architecture: The student.
        folder: The exported folder.
        reference: The whole SuperLM, from `load_elastic`.
        vectors: Where the student was exported to put its sentence vectors.
        seed: Of the random token ids.

    Raises:
        ParityFailure: Weights are missing, left over, or give another last hidden state or other
            sentence vectors.
    """
    import torch

    run = _load(superlm.spec.encoder.family, architecture, folder)
    parity = compare_with_superlm(run, superlm, architecture, reference, PARITY_TOLERANCE, seed)
    embedding = superlm.spec.teacher.embedding
    if embedding is None:
        return parity
    from autodistil.models.sentence_steps import load_steps, sentence_vectors

    try:
        sentence = read_sentence_folder(folder)
        ids, mask = _random_batch(superlm, architecture, seed)
        with torch.inference_mode():
            exported = sentence_vectors(sentence, load_steps(sentence), run(ids, mask), mask)
    except InvalidInput as error:
        raise ParityFailure(f"{architecture.name} makes no sentence vectors: {error}") from error
    with torch.inference_mode():
        wanted = _vectors(reference, architecture, ids, mask, embedding, vectors)
    if exported.shape != wanted.shape:
        raise ParityFailure(
            f"The sentence vectors of {architecture.name} are {exported.shape[1]} wide, the "
            f"SuperLM's {wanted.shape[1]}."
        )
    difference = float((exported - wanted).abs().max())
    _check(f"The sentence vectors of {architecture.name} differ", difference, PARITY_TOLERANCE)
    return parity.model_copy(update={"vectors_max_abs_difference": difference})


def _load(family: str, architecture: Architecture, folder: Path) -> "Run":
    import torch
    from transformers import AutoModel

    loader: Any = AutoModel
    if not architecture.stock:
        loader = own_module(family).StudentModel
    try:
        model, info = loader.from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise ParityFailure(f"{architecture.name} does not load: {error}") from error
    wrong = {kind: sorted(names) for kind, names in info.items() if names}
    if wrong:
        raise ParityFailure(f"Loading {architecture.name} reports {wrong}.")
    model.eval()

    @torch.inference_mode()
    def run(ids: "Tensor", mask: "Tensor") -> "Tensor":
        hidden: Tensor = model(ids, attention_mask=mask)[0]
        return hidden

    return run


def compare_with_superlm(
    run: "Run",
    superlm: SuperLM,
    architecture: Architecture,
    reference: "ElasticEncoder",
    tolerance: float,
    seed: int = 0,
) -> Parity:
    """Compare the last hidden state of an exported student with the SuperLM's.

    Args:
        run: The student.
        superlm: The SuperLM.
        architecture: The student.
        reference: The whole SuperLM, from `load_elastic`.
        tolerance: Largest difference of a value that is allowed.
        seed: Of the random token ids.

    Raises:
        ParityFailure: The two differ by more.
    """
    import torch

    ids, mask = _random_batch(superlm, architecture, seed)
    exported = run(ids, mask)
    with torch.inference_mode():
        wanted = reference(ids, mask, architecture).hidden
    difference = float((exported - wanted)[mask.bool()].abs().max())
    _check(f"The last hidden state of {architecture.name} differs", difference, tolerance)
    return Parity(
        max_abs_difference=difference, tolerance=tolerance, tokens=int(mask.sum()), seed=seed
    )


def _random_batch(
    superlm: SuperLM, architecture: Architecture, seed: int
) -> "tuple[Tensor, Tensor]":
    """Token ids of the student's vocabulary with padding of several lengths, and their mask."""
    import torch

    encoder = superlm.spec.encoder
    length = min(64, encoder.positions)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(architecture.vocab or encoder.vocab_size, (4, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(1, len(ids)):
        mask[row, length * (4 - row) // 4 :] = 0
    return ids, mask


def _vectors(
    reference: "ElasticEncoder",
    architecture: Architecture,
    ids: "Tensor",
    mask: "Tensor",
    embedding: SentenceEmbedding,
    vectors: Vectors,
) -> "Tensor":
    """What the student's sentence vectors must be."""
    from torch.nn import functional as F

    from autodistil.models.sentence_vectors import pool

    if vectors is Vectors.TEACHER:
        found = reference.vectors(ids, mask, architecture, embedding.pooling)
    else:
        found = pool(reference(ids, mask, architecture).hidden, mask, embedding.pooling)
    return F.normalize(found, dim=1) if embedding.normalize else found


def _check(what: str, difference: float, tolerance: float) -> None:
    if not difference <= tolerance:
        raise ParityFailure(
            f"{what} by {difference:.3g} from the SuperLM's; at most {tolerance:g} is allowed."
        )
