"""The bundle of a SuperLM: made, read, sliced, scored anew."""
