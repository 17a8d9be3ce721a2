"""The embedded corpus: sentences made here, spoken by espeak-ng."""
