"""The files that the original's authors published, and the options of the program that lists and fetches them."""
