"""Images beyond RGB of 8 bits: how records hold them, and what becomes of their values before the network."""
