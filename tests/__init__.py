"""The tests: unit and contracts need no server, the others use real ones."""
