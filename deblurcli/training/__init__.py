"""The trainer: config, losses, loop, state, recipes."""
