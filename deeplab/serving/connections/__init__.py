"""Connections of clients: HTTP as it is spoken here, time limits, and how many connections there are."""
