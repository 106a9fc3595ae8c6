"""Search spaces and what their students cost: architectures, sub-spaces, specs; no torch."""
