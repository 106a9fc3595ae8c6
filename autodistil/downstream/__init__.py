"""Tasks with labels: data, fine-tuning, scores."""
