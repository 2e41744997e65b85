"""Reads lists of classes in the forms that people have: names, ids and colours, in files or on the command line."""
