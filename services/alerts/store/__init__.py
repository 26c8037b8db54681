"""The only files of the alerts service that speak SQL."""
