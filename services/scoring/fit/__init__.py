"""Fitting: what a company's own history teaches, computed set-based and swapped in at once."""
