"""Scores of students on held-out text, without labels, in passes that they share."""
