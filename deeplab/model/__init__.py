"""The paper: from a configuration to a network. network.py is figure 2; start there."""
