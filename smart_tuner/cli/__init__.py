"""The command line: a module for each command, with its options, messages and exit code. The work is done elsewhere."""
