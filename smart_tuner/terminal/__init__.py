"""What a study looks like in a terminal."""
