"""Proves fixes: paired short runs of the program itself, with and without each."""
