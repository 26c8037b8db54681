"""Imports: history from files, orders and the master data around them."""
