"""This package runs Tipoff: embedded servers for a laptop, containers and dashboards for production."""
