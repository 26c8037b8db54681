"""Signal kinds: one file each, discovered by its `KIND`. Pure: facts in, signals out."""
