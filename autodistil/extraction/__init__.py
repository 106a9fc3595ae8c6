"""A student out of a SuperLM, as a folder that loads, with its receipt."""
