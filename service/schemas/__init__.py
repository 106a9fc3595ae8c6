"""Requests and answers of the API, a module a noun."""
