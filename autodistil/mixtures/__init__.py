"""Students whose layers differ, out of the same SuperLM, found by evolution."""
