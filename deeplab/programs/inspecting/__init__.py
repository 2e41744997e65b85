"""`deeplab inspect`: says what a file or folder is, and what is recorded about it."""
