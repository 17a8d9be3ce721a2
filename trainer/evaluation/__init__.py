"""What a voice says without a teacher, measured against the recordings, and the verdict in words.

`speech` synthesises sentences that were not trained on, `distance` compares two utterances, `sentences` measures each
sentence and sums the figures up, `verdict` says in words what they mean.
"""
