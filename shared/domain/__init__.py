"""The values the business speaks in: frozen, pure, and free of rows, clocks and settings."""
