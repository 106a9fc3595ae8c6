"""STS-B without fine-tuning: how well the cosine of two sentence vectors follows people."""

import numpy as np

from autodistil.correlation import spearman
from autodistil.downstream.embedder import Embedder, OnTexts
from autodistil.downstream.task_data import Examples


def stsb_spearman(
    embedder: Embedder, pairs: Examples, on_texts: OnTexts = lambda done, total: None
) -> float:
    """Spearman correlation between the cosine of two sentence vectors and the human score."""
    import torch
    from torch.nn import functional as F

    vectors = torch.from_numpy(embedder.encode(pairs.first + (pairs.second or []), on_texts))
    cosines = F.cosine_similarity(vectors[: len(pairs)], vectors[len(pairs) :])
    return spearman(cosines.double().numpy(), np.array(pairs.labels))
