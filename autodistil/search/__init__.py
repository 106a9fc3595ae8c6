"""Search without re-training (paper, section 3.3): limits and candidate tables; no torch."""
