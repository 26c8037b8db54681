"""Imports bring history in from files: orders, and the nouns around them."""
