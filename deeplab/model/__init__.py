"""The paper: from a configuration to a network. Start at network.py."""
