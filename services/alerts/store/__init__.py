"""The only files of the alerts service that speak SQL, one per noun."""
