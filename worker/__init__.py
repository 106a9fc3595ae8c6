"""Celery workers: claim an extraction, call the method, store the result."""
