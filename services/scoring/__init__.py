"""Scoring: applies orders, gathers what was known before each, and finds what is worth a rep's time."""
