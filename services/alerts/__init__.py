"""Alerts: decides whom to notify of what, notifies them, and shows it."""
