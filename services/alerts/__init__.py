"""Alerts: decides what is said to whom, says it, and shows it."""
