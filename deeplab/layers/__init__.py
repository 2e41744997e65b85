"""The arithmetic of the network: convolutions, batch norm, dropout, resizing, sums over replicas."""
