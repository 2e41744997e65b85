"""Options of what the programs write about an image."""
