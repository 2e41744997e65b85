"""What the programs say with --dry_run, once they have come as far as they come without writing anything."""
