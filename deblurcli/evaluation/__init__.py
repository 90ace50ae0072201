"""How good is it: metrics with one definition each, and the suites that use them."""
