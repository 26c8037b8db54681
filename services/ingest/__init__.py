"""Ingest takes orders in: signed webhooks, the API, and history from files, all through one normaliser."""
