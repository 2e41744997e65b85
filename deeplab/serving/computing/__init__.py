"""The network, the requests that wait for it, and the memory that they may take."""
