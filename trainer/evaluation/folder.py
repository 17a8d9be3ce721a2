"""The layout of an evaluation's folder, which the trainer writes and the tuner reads. Standard library only."""

SENTENCES = "sentences.csv"  # one row for each sentence, the worst first
SUMMARY = "summary.json"
MEDIA = "media"  # the folder of pictures and sounds
WORST = 10  # sentences that have them
PICTURES = ("alignment", "mel")
SOUNDS = ("spoken", "recorded")


def file_column(kind: str) -> str:
    """The column with the path of a picture or a sound within the folder; empty where there is none."""
    return f"{kind}_file"
