"""Text in, packed batches of tokens out."""
