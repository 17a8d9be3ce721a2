"""From which figure on something is a finding, how much it matters, and why: the one table of all thresholds.

docs/corpus-check.md shows it. Figures of single clips come from `trainer.data.check.measures`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trainer.corpus_report import Severity


class Kind(StrEnum):
    """What can be found, in the order in which it is shown."""

    REFUSED = "refused"
    LITTLE_SPEECH = "little speech"
    FEW_VALIDATION = "few clips to validate"
    WRONG_TEXT = "text and length do not fit"
    OTHER_TEXT = "text and sound do not fit"
    SAME_AUDIO_OTHER_TEXT = "same audio, other text"
    SAME_AUDIO = "same audio"
    NO_SPEECH = "no speech"
    CANCELLED = "channels cancel"
    CLIPPED = "clipped"
    NOISY = "noisy"
    QUIET = "too quiet"
    UNLIKE_LEVEL = "unlike level"
    CUT = "cut speech"
    INNER_SILENCE = "long silence inside"
    EDGE_SILENCE = "silence left at the edges"
    OFFSET = "DC offset"
    TOO_LONG = "longer than max_seconds"
    LOW_RATE = "low sample rate"
    LEVELS_VARY = "levels vary"
    ACCENTS = "letters read without accents"
    OTHER_ALPHABET = "words in another alphabet"
    SAME_TEXT = "same text"
    RARE_SYMBOLS = "rare symbols"
    MIXED_RATES = "several sample rates"


@dataclass(frozen=True)
class Limit:
    """value: in `unit`, the first figure that is a finding; why: the reason for it; mend: what to do."""

    severity: Severity
    value: float
    unit: str
    what: str
    why: str
    mend: str


W, N = Severity.WARNING, Severity.NOTE

LIMITS: Mapping[Kind, Limit] = {
    Kind.REFUSED: Limit(
        Severity.REFUSED,
        1,
        "row",
        "or more that cannot be used",
        "Preparation stops at them, so that nothing is trained on by mistake.",
        "Correct them or remove their lines; `--fix OUT` writes a copy without them.",
    ),
    Kind.LITTLE_SPEECH: Limit(
        W,
        9,
        "minutes",
        "or less of speech",
        "Ten minutes of the embedded corpus became “good”; 3.7 of a person, from another voice, intelligible in parts.",
        "Record more, or train on from a voice that speaks already (`--from VOICE`).",
    ),
    Kind.FEW_VALIDATION: Limit(
        W,
        7,
        "clips",
        "or fewer to validate",
        "Each trial is judged by up to eight sentences that it was not trained on; of fewer little is known.",
        "Raise `corpus.validation_share`, or record more.",
    ),
    Kind.WRONG_TEXT: Limit(
        W,
        5,
        "deviations",
        "or more from the length that the other clips let expect, and at least 30 %",
        "The speaker's rate varies less: the text is another one, or a part of it is missing.",
        "Listen, and correct the text.",
    ),
    Kind.OTHER_TEXT: Limit(
        W,
        5,
        "%",
        "or more of other texts of like length fit the sound as well, and it is three deviations off",
        "By all other clips this text sounds otherwise: it is probably that of another recording.",
        "Listen, and correct the text.",
    ),
    Kind.SAME_AUDIO_OTHER_TEXT: Limit(
        W,
        1,
        "pair",
        "or more of one audio with several texts",
        "All texts but one are wrong.",
        "Listen, and keep the right line.",
    ),
    Kind.SAME_AUDIO: Limit(
        W,
        1,
        "pair",
        "or more of the same audio, with one text",
        "It counts twice, and in both splits it makes validation look better than it is.",
        "Remove one line; `--fix` keeps the first.",
    ),
    Kind.NO_SPEECH: Limit(
        W,
        3,
        "dB",
        "or less between the loudest parts and the quietest 20 ms",
        "Noise alone varies by so much: there is no speech in it, or none that can be heard.",
        "Listen, and record it again or remove its line; `--fix` leaves it out.",
    ),
    Kind.CANCELLED: Limit(
        W,
        6,
        "dB",
        "lost where channels are averaged",
        "Two unlike channels lose 3 dB, and one empty one; more means that one is inverted.",
        "Export one channel alone, or invert one.",
    ),
    Kind.CLIPPED: Limit(
        W,
        0.0005,
        "of the samples",
        "in flat tops",
        "One sample in 2,000 is a click in each loud syllable, which the voice learns.",
        "Record again with less gain, or export again from the unclipped original.",
    ),
    Kind.NOISY: Limit(
        W,
        17,
        "dB",
        "or less between the speech and the quietest 20 ms",
        "Noise at a seventh of the speech is heard in each pause of the voice.",
        "Record in a quieter room, or clean the recording.",
    ),
    Kind.QUIET: Limit(
        W,
        -45,
        "dBFS",
        "quieter speech",
        "Below it 16-bit audio has fewer than 9 bits left for speech, and trimming meets the noise.",
        "Record with more gain; `--fix` and `audio.level` raise the level, and the noise with it.",
    ),
    Kind.UNLIKE_LEVEL: Limit(
        W,
        12,
        "dB",
        "louder or quieter than most clips",
        "A log-mel keeps the level: the voice learns both, and mixes them.",
        "`audio.level` evens them out, and so does `--fix`.",
    ),
    Kind.CUT: Limit(
        W,
        -12,
        "dB",
        "or louder relative to the speech, in the first or last 10 ms",
        "Speech begins and ends softly: a part of a word is missing.",
        "Cut the recording again, with a tenth of a second around the speech.",
    ),
    Kind.INNER_SILENCE: Limit(
        W,
        1.0,
        "seconds",
        "or more of silence inside",
        "Attention has no symbol to stand at for 86 frames; long silences keep it from aligning.",
        "Shorten the silence, or cut the clip in two.",
    ),
    Kind.EDGE_SILENCE: Limit(
        W,
        0.5,
        "seconds",
        "or more of silence at the edges after trimming",
        "Noise keeps it from being trimmed: the voice learns to wait, and not to end.",
        "Lower `audio.trim_db`, or cut the recording.",
    ),
    Kind.OFFSET: Limit(
        N,
        0.003,
        "of full scale",
        "or more of offset",
        "It is removed before anything else, but shows a fault of the recorder.",
        "There is nothing to do; `--fix` removes it.",
    ),
    Kind.TOO_LONG: Limit(
        W,
        1,
        "clip",
        "longer than `corpus.max_seconds`",
        "It is left out, and its speech is lost.",
        "Cut it, or raise `corpus.max_seconds`, at the cost of memory.",
    ),
    Kind.LOW_RATE: Limit(
        W,
        1.0,
        "of `audio.sample_rate`",
        "or less of samples per second",
        "Frequencies above half of it are empty: the voice sounds as through a telephone.",
        "Use the original recordings, or lower `audio.sample_rate`.",
    ),
    Kind.LEVELS_VARY: Limit(
        N,
        4,
        "dB",
        "or more of standard deviation of the levels",
        "A speaker in one session varies by 2 to 3 dB.",
        "`audio.level` evens them out.",
    ),
    Kind.ACCENTS: Limit(
        W,
        1,
        "letter",
        "or more with an accent, in English",
        "English has no symbol for it: where the word is not said as its letters are, the voice learns a wrong sound.",
        "There is nothing to do for loanwords; write a name as it is said (`Koeln`), or read the corpus as phonemes.",
    ),
    Kind.OTHER_ALPHABET: Limit(
        W,
        1,
        "word",
        "or more in another alphabet, in one text",
        "It is read by its letters, which mean other sounds: the voice learns what is not said.",
        "Write it in the letters of the language; where another language is spoken, remove the line.",
    ),
    Kind.SAME_TEXT: Limit(
        N,
        1,
        "pair",
        "or more of one text in several recordings",
        "It is no fault, but teaches less than another sentence.",
        "There is nothing to do, unless the list is wrong.",
    ),
    Kind.RARE_SYMBOLS: Limit(
        N,
        5,
        "times",
        "or fewer in the texts",
        "A sound that is heard a few times is not learned.",
        "Record sentences with them.",
    ),
    Kind.MIXED_RATES: Limit(
        N,
        2,
        "rates",
        "or more among the recordings",
        "They are resampled to one; recordings of several devices also sound different.",
        "There is nothing to do, if they are of one device.",
    ),
}
assert set(LIMITS) == set(Kind)

WRONG_TEXT_LEAST = 0.3  # share by which the rate differs at least, however even the speaker is
WRONG_TEXT_CLIPS = 20  # fewer show no rate to compare with
OTHER_TEXT_DEVIATIONS = 3.0
