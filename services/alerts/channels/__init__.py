"""Channels: each file here is one way to get a message to somebody."""
