"""Choices that need more than the table: a device, a text of one's own, a labelled task."""
