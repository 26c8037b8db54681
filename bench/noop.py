"""The peer of scoring: a job that does nothing."""


def nothing() -> None:
    """Do nothing."""
