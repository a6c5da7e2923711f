"""Edits of the user's source: what they are, how they compose, and the files they are written to."""
