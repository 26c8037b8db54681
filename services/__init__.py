"""The three services and the command line that composes them."""
