"""One file for each format, all of one shape, and what their containers are made of; ``table`` lists them."""
