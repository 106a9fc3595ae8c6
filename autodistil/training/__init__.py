"""Training a SuperLM (paper, sections 3.1 and 3.2): start, objective, sandwich loop."""
