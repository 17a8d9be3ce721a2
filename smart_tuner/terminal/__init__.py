"""Shows studies in a terminal."""
