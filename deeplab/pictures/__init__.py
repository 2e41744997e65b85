"""Images and videos from files, and pictures of labels."""
