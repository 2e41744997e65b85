"""Images and videos that are read from files, and pictures that are drawn of labels."""
