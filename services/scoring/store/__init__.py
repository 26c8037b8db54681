"""What scoring reads and writes, one file per noun. Rows stay in here; values go out."""
