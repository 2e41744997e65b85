"""The parts of scripts/attack_server.py: what is sent, how it is sent, the honest clients, and the server's process."""
