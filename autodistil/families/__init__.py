"""Model families: how each says its sizes and calls its parts; no torch."""
