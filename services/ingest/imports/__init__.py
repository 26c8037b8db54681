"""Imports bring history in from files: orders, and the entitys around them."""
