"""Sources: who may send orders by webhook, one file each."""
