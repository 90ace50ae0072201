"""What runs a network: one small protocol, one module per runtime."""
