"""The command line: a module for each command; options in, exit codes out. What a command does lives elsewhere."""
