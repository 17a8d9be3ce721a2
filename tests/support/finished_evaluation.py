"""The folder of an evaluation, written as the trainer writes it, without a trainer."""

import csv
import json
from pathlib import Path
from typing import Any

from trainer.evaluation.folder import MEDIA, SENTENCES, SUMMARY, file_column
from trainer.evaluation.verdict import Heard

FIGURES = {
    "recognised": 0.4,
    "margin": 0.03,
    "distance": 9.66,
    "mcd": 9.5,
    "ceiling_mcd": 1.1,
    "other_mcd": 11.9,
    "hum_mcd": 12.0,
    "failed": 0.25,
    "words_wrong": None,
    "seconds": 126.0,
}
FAULTS = "endless: its gate did not end it, and it was cut off at the limit; nearer to “<b>rope</b>; and more”"
NOTE = "Word errors were not measured."


def write_evaluation(folder: Path, media: dict[str, bytes], texts: list[str], **about: Any) -> Path:
    """media: content by file ending. The first sentence has every file, the last one no sound, as if not finite."""
    (folder / MEDIA).mkdir(parents=True)
    with (folder / SENTENCES).open("w", encoding="utf-8", newline="") as file:
        kinds = {"alignment": "png", "mel": "png", "spoken": "wav", "recorded": "wav"}
        figures = ("distance", "mcd", "hum_mcd", "recognised", "rank", "margin", "variance", "alignment")
        heard = ("words_wrong", "words_wrong_recorded", "seconds", "recorded_seconds")
        columns = ["id", "text", "faults", *figures, *heard, *map(file_column, kinds)]
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for number, text in enumerate(texts):
            files = {file_column(kind): f"{MEDIA}/{number}-{kind}.{end}" for kind, end in kinds.items()}
            for name in files.values():
                (folder / name).write_bytes(media[Path(name).suffix[1:]])
            if number and text is texts[-1]:
                files[file_column("spoken")] = ""
            row = {"id": f"clip-{number}", "text": text, "faults": "" if number else FAULTS, "distance": 9.1, "rank": 2}
            writer.writerow(row | files)
        writer.writerow({"id": "fine", "text": "the rest"})
    summary = {
        "voice": "a/voice/best.pt",
        "corpus": "demo:en",
        "texts": None,
        "written": "2026-01-02 03:04",
        "notes": [NOTE],
        "verdict": Heard.PARTS,
        "advice": Heard.PARTS.advice,
        "sentences": len(texts) + 1,
        "resynthesised": 1,
        "listened": 0,
        "figures": FIGURES,
    }
    (folder / SUMMARY).write_text(json.dumps(summary | about), encoding="utf-8")
    return folder
