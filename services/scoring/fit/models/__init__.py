"""The models, one file each: a frozen record `MODEL` that turns facts into rows of derived tables."""
