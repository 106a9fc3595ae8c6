"""The REST API. It never imports torch."""
