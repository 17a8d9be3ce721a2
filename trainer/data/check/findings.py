"""What the measures of all clips show: the clips that need a look, and what concerns the corpus as a whole."""

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.check import agreement
from trainer.data.check.limits import LIMITS, OTHER_TEXT_DEVIATIONS, WRONG_TEXT_CLIPS, WRONG_TEXT_LEAST, Kind
from trainer.data.check.measures import Sound
from trainer.text import Expansion, character_name, look_alike, words_of_another_alphabet

_FENCE = 1.5  # quartile distances above the upper quartile (Tukey 1977): some voices begin many clips at once
_ABOVE_NOISE = 6.0  # dB: what is not louder may be noise alone
_FITTED = 1000  # clips that the speaking rate is taken from; the time grows with their square
_NORMAL = 1.4826  # standard deviations of a normal distribution in its median absolute deviation


@dataclass(frozen=True)
class Clip:
    """One usable row. origin: its line; recording: its path; written: its text as in the list; words: as it is spoken;
    text: as the model reads it."""

    id: str
    origin: str
    recording: str
    written: str
    words: str
    text: str
    expansions: tuple[Expansion, ...]
    validates: bool
    sound: Sound

    @property
    def seconds_per_symbol(self) -> float:
        return self.sound.spoken / max(1, len(self.text))


@dataclass(frozen=True)
class Finding:
    """One row with one fault. value: the figure that shows it, in the unit of its limit; text: in words."""

    kind: Kind
    id: str
    origin: str
    recording: str
    text: str
    value: float | None = None


@dataclass(frozen=True)
class Settings:
    """What findings depend on: settings of the audio and the corpus, and the language of its texts."""

    sample_rate: int
    max_seconds: float
    language: str = "en"


@dataclass(frozen=True)
class Rate:
    """Seconds that a text takes: `base + per_symbol * symbols`; spread: the standard deviation of the logarithm."""

    base: float
    per_symbol: float
    spread: float

    def expected(self, symbols: int) -> float:
        return self.base + self.per_symbol * symbols


def find(clips: Sequence[Clip], settings: Settings) -> list[Finding]:
    """All findings on single clips, in the order of `Kind`."""
    wrong = list(_wrong_texts(clips))
    wrong += _other_texts(clips, {finding.origin for finding in wrong})
    found = [*_single(clips, settings), *_unlike_levels(clips), *_cut(clips), *wrong, *_repeated(clips)]
    order = list(Kind)
    return sorted(found, key=lambda finding: order.index(finding.kind))


def _finding(kind: Kind, clip: Clip, value: float, text: str) -> Finding:
    return Finding(kind, clip.id, clip.origin, clip.recording, text, value)


def _single(clips: Iterable[Clip], settings: Settings) -> Iterator[Finding]:
    """Findings that need no other clip."""
    for clip in clips:
        for kind, value, exceeds, text in _figures(clip, settings):
            if exceeds(value, LIMITS[kind].value):
                yield _finding(kind, clip, value, text)
        if words := words_of_another_alphabet(clip.written, settings.language):
            text = f"its text has {', '.join(map(_with_look_alike, words))}"
            yield _finding(Kind.OTHER_ALPHABET, clip, len(words), text)


def _with_look_alike(word: str) -> str:
    """In quotes; a letter alone with its name, since it looks like another one."""
    alike = look_alike(word)
    return f"{word!r}" + (f" ({character_name(word)}, which looks like {alike!r})" if alike else "")


def _figures(clip: Clip, settings: Settings) -> Iterator[tuple[Kind, float, Callable[[float, float], bool], str]]:
    """(kind, value, whether value and limit are a finding, in words)."""
    sound = clip.sound
    above, below = operator.ge, operator.le
    left = max(0.0, sound.kept - (sound.seconds - sound.lead - sound.tail))
    yield (
        Kind.CANCELLED,
        sound.cancelled,
        above,
        f"averaging its {sound.channels} channels loses {sound.cancelled:.0f} dB",
    )
    yield Kind.CLIPPED, sound.clipped, above, f"{100 * sound.clipped:.2f} % of its samples are in flat tops"
    if sound.contrast <= LIMITS[Kind.NO_SPEECH].value:
        text = (
            f"is noise at {sound.level:.0f} dBFS: its loudest parts are {sound.contrast:.0f} dB above its quietest ones"
        )
        yield Kind.NO_SPEECH, sound.contrast, below, text
    else:
        yield Kind.NOISY, sound.contrast, below, f"speech is only {sound.contrast:.0f} dB above the noise"
        yield Kind.QUIET, sound.level, below, f"its speech is at {sound.level:.0f} dBFS"
    yield Kind.INNER_SILENCE, sound.inner, above, f"is silent for {sound.inner:.1f} s inside"
    yield Kind.EDGE_SILENCE, left, above, f"{left:.1f} s of silence stay at its edges after trimming"
    yield Kind.OFFSET, sound.offset, above, f"its samples are shifted by {sound.offset:.3f} of full scale"
    if sound.kept > settings.max_seconds:
        text = f"lasts {sound.kept:.1f} s, with `corpus.max_seconds` at {settings.max_seconds:g}"
        yield Kind.TOO_LONG, sound.kept, above, text
    if sound.sample_rate < settings.sample_rate:
        share = sound.sample_rate / settings.sample_rate
        yield Kind.LOW_RATE, share, below, f"has {sound.sample_rate} samples per second"


def _unlike_levels(clips: Sequence[Clip]) -> Iterator[Finding]:
    if not clips:
        return
    usual = float(np.median([clip.sound.level for clip in clips]))
    for clip in clips:
        difference = clip.sound.level - usual
        if abs(difference) >= LIMITS[Kind.UNLIKE_LEVEL].value:
            how = "louder" if difference > 0 else "quieter"
            yield _finding(Kind.UNLIKE_LEVEL, clip, difference, f"is {abs(difference):.0f} dB {how} than most clips")


def _cut(clips: Sequence[Clip]) -> Iterator[Finding]:
    """Clips that begin or end with speech, where most do not."""
    for where in ("begins", "ends") if clips else ():
        levels = [clip.sound.start if where == "begins" else clip.sound.end for clip in clips]
        low, high = (float(quartile) for quartile in np.percentile(levels, (25, 75)))
        limit = max(LIMITS[Kind.CUT].value, high + _FENCE * (high - low))
        for clip, level in zip(clips, levels, strict=True):
            if level >= limit and level + clip.sound.contrast > _ABOVE_NOISE:
                yield _finding(Kind.CUT, clip, level, f"{where} in the middle of speech ({level:+.0f} dB)")


def _wrong_texts(clips: Sequence[Clip]) -> Iterator[Finding]:
    rate = speaking_rate(clips)
    if rate is None:
        return
    for clip in clips:
        expected = rate.expected(len(clip.text))
        ratio = max(clip.sound.spoken, 1e-3) / expected
        deviations = abs(float(np.log(ratio))) / rate.spread
        if deviations >= LIMITS[Kind.WRONG_TEXT].value and abs(ratio - 1) >= WRONG_TEXT_LEAST:
            text = f"{clip.sound.spoken:.1f} s of speech for {len(clip.text)} symbols, {expected:.1f} s expected"
            yield _finding(Kind.WRONG_TEXT, clip, deviations, text)


def _other_texts(clips: Sequence[Clip], known: Collection[str]) -> Iterator[Finding]:
    """known: origins of clips whose length shows already that the text is wrong."""
    if len(clips) < agreement.LEAST_CLIPS:
        return
    bands = np.stack([clip.sound.bands for clip in clips])
    seconds = np.array([clip.sound.spoken for clip in clips])
    found = agreement.agreement([clip.text for clip in clips], bands, seconds)
    for clip, deviations, share in zip(clips, *found.columns, strict=True) if found else ():
        percent = 100 * share
        if (
            percent >= LIMITS[Kind.OTHER_TEXT].value
            and deviations >= OTHER_TEXT_DEVIATIONS
            and clip.origin not in known
        ):
            text = f"{percent:.0f} % of the texts of like length fit its sound as well as its own does"
            yield _finding(Kind.OTHER_TEXT, clip, percent, text)


def speaking_rate(clips: Sequence[Clip]) -> Rate | None:
    """The line through (symbols, seconds of speech) that most clips lie on; None for too few clips, or equal texts.

    Repeated medians (Siegel 1982): up to half of the texts may be wrong.
    """
    if len(clips) < WRONG_TEXT_CLIPS:
        return None
    from scipy.stats import siegelslopes  # takes a second to load, which the processes that read recordings need not

    symbols = np.array([len(clip.text) for clip in clips], np.float64)
    seconds = np.array([max(clip.sound.spoken, 1e-3) for clip in clips])
    if np.ptp(symbols) == 0:
        return None
    some = np.random.default_rng(0).permutation(len(clips))[:_FITTED]
    per_symbol, base = (float(value) for value in siegelslopes(seconds[some], symbols[some]))
    if (base + per_symbol * symbols <= 0).any():  # the texts say nothing of the lengths
        per_symbol, base = float(np.median(seconds / symbols)), 0.0
    deviations = np.log(seconds / (base + per_symbol * symbols))
    spread = _NORMAL * float(np.median(np.abs(deviations - np.median(deviations))))
    return Rate(base, per_symbol, max(spread, 1e-3))


def _repeated(clips: Sequence[Clip]) -> Iterator[Finding]:
    by_audio = _groups(clips, lambda clip: clip.sound.content)
    for same in by_audio:
        texts = {clip.text for clip in same}
        kind = Kind.SAME_AUDIO if len(texts) == 1 else Kind.SAME_AUDIO_OTHER_TEXT
        for clip in same[1:]:
            first = same[0]
            both = " in the other split" if clip.validates != first.validates else ""
            said = f", which has the text {first.written!r}" if kind is Kind.SAME_AUDIO_OTHER_TEXT else ""
            yield _finding(kind, clip, float(len(same)), f"has the audio of {first.id} ({first.origin}){both}{said}")
    twice = {clip.origin for same in by_audio for clip in same}
    for same in _groups([clip for clip in clips if clip.origin not in twice], lambda clip: clip.text):
        for clip in same[1:]:
            yield _finding(Kind.SAME_TEXT, clip, float(len(same)), f"has the text of {same[0].id} ({same[0].origin})")


def _groups(clips: Iterable[Clip], key: Callable[[Clip], str]) -> list[list[Clip]]:
    """Those of more than one clip, in the order of their first."""
    found: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        found[key(clip)].append(clip)
    return [same for same in found.values() if len(same) > 1]


def symbol_counts(clips: Iterable[Clip]) -> Mapping[str, int]:
    """How often each symbol stands in the texts of the model, most frequent first."""
    counts: Counter[str] = Counter()
    for clip in clips:
        counts.update(clip.text)
    return dict(counts.most_common())
