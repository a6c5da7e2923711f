"""What mends a fault in the user's own source: finders of places, and fixes by theme. Checks call them."""
