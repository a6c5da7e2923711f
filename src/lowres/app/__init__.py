"""The command line: one small file a verb, no logic of its own."""
