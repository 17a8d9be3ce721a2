"""Made-up sentences in English and Russian, all different: the texts of the embedded corpus.

Templates are filled from word lists; a sentence has 4 to 10 words, one and a half to four seconds of speech. Russian
words have the form that their template needs, so that they agree. Some numbers are in digits: in English up to 100 and
round hundreds, because espeak-ng says "one hundred five" where num2words writes "one hundred and five"; in Russian
below 1000, where the template needs the nominative. Final marks vary and are often absent: a mark at the end of every
text teaches the model to wait at it.
"""

import random
import re
from collections.abc import Callable, Mapping
from itertools import cycle

LARGEST = 10_000  # the most sentences in one call; the lists allow many times more

LONGEST = 10  # words

_Words = Mapping[str, tuple[str, ...]]


def _phrases(text: str) -> tuple[str, ...]:
    phrases = tuple(phrase.strip() for phrase in text.split(","))
    assert len(set(phrases)) == len(phrases), f"named twice: {phrases}"
    return phrases


_ENGLISH: _Words = {
    "adjective": _phrases(
        "old, young, quiet, clever, hungry, tired, brave, lucky, proud, gentle, busy, famous, strange, cheerful, tall,"
        " lazy, honest, nervous, foreign, patient, careful, rich, poor, wise"
    ),
    "person": _phrases(
        "captain, doctor, farmer, teacher, singer, baker, soldier, gardener, painter, judge, pilot, neighbour, sailor,"
        " tailor, child, uncle, cousin, stranger, lawyer, student, driver, butcher, king, poet"
    ),
    "name": _phrases(
        "Alice, George, Martha, Victor, Susan, Oliver, Jane, Philip, Rachel, Hugo, Edith, Thomas, Zoe, Kevin, Laura,"
        " Jack, Nora, Sean"
    ),
    "did": _phrases(
        "found, lost, bought, sold, painted, carried, dropped, watched, opened, measured, cleaned, hid, borrowed,"
        " followed, moved, repaired, wanted, touched, noticed, chose, kept, threw, praised, shook"
    ),
    "do": _phrases(
        "find, lose, buy, sell, paint, carry, drop, watch, open, measure, clean, hide, borrow, follow, move, repair,"
        " want, touch, notice, choose, keep, throw, praise, shake"
    ),
    "thing": _phrases(
        "silver coin, wooden chair, yellow umbrella, broken clock, heavy suitcase, letter, garden gate, bicycle,"
        " blue carpet, leather glove, paper boat, green bottle, piano, ladder, kitchen table, rope, lamp, box of nails,"
        " basket of cherries, small mirror, juicy orange, thick book, wool jacket, copper pipe, stone bridge"
    ),
    "things": _phrases(
        "apples, horses, candles, pictures, keys, boxes, maps, ships, flowers, stamps, dishes, shoes, wolves, towers,"
        " questions, villages, journeys, feathers, pigeons, bridges, watches, yellow leaves, thick books, old songs"
    ),
    "place": _phrases(
        "in the garden, near the river, behind the house, under the bridge, by the window, at the station, on the roof,"
        " in the old church, across the valley, beside the road, in the kitchen, at the edge of the forest,"
        " on the beach, above the shop, inside the tower, outside the village"
    ),
    "time": _phrases(
        "yesterday, last night, this morning, on Sunday, in the summer, before breakfast, after the storm, at noon,"
        " every evening, during the war, long ago, just in time, once a year, at the weekend"
    ),
    "soon": _phrases("soon, tomorrow, next week, on Monday, in the autumn, at once, again, after the harvest"),
    "went": _phrases(
        "laughed, waited, slept, walked home, sang, whispered, danced, smiled, turned around, fell asleep, sat down,"
        " worked, shouted, went away, ran off, stood up"
    ),
    "how": _phrases(
        "quietly, slowly, at once, without a word, again, with joy, in silence, alone, together, for hours"
    ),
    "month": _phrases(
        "January, February, March, April, May, June, July, August, September, October, November, December"
    ),
}

_ENGLISH_TEMPLATES = (
    "the {adjective} {person} {did} the {thing}",
    "the {person} {did} a {thing} {place}",
    "{name} {did} the {thing} {time}",
    "{name} and the {adjective} {person} {went} {how}",
    "{place}, the {person} {went} {how}",
    "there were {number} {things} {place}",
    "{name} counted {number} {things} {time}",
    "{time} we saw {number} {things}",
    "room {number} is full of {things}",
    "we met on the {ordinal} of {month}",
    "on the {ordinal} of {month} {name} {went}",
    "the {adjective} {person} will {do} the {thing} {soon}",
    "did {name} {do} the {thing} {place}?",
    "why did the {person} {do} my {thing}?",
    "who {did} the {thing} {time}?",
    "please {do} the {thing}, {name}",
    "all the {things} {place} are {adjective}",
    "nobody {went} {place}",
)

_RUSSIAN: _Words = {
    "он": _phrases(
        "старый мастер, молодой учитель, весёлый сосед, мой брат, наш дедушка, усталый солдат, умный мальчик, врач,"
        " рыбак, художник, лесник, чужой человек, капитан, повар, Иван, Фёдор, Пётр, Юрий, хитрый купец, жених"
    ),
    "она": _phrases(
        "старая мельничиха, молодая учительница, весёлая соседка, моя сестра, наша бабушка, добрая хозяйка,"
        " умная девочка, тётя, певица, художница, гостья, чужая женщина, Анна, Ольга, Юлия, Эмма, дочь царя"
    ),
    "они": _phrases(
        "дети, соседи, гости, старые друзья, рыбаки, солдаты, студенты, наши родители, чужие люди, мальчишки, братья,"
        " музыканты"
    ),
    "нашёл": _phrases(
        "нашёл, потерял, купил, продал, принёс, увидел, спрятал, починил, забыл, взял, вымыл, унёс, выбрал, любил"
    ),
    "нашла": _phrases(
        "нашла, потеряла, купила, продала, принесла, увидела, спрятала, починила, забыла, взяла, вымыла, унесла,"
        " выбрала, любила"
    ),
    "нашли": _phrases(
        "нашли, потеряли, купили, продали, принесли, увидели, спрятали, починили, забыли, взяли, вымыли, унесли,"
        " выбрали, любили"
    ),
    "вещь": _phrases(
        "красную чашку, старый ключ, тёплое одеяло, письмо, деревянную лодку, чёрный зонт, новую книгу, щётку,"
        " жёлтый фонарь, кусок хлеба, полную корзину груш, синее ведро, большие часы, кожаный мяч, железную цепь,"
        " шёлковый платок, карту, пустой ящик, зеркало, тетрадь, широкий стол, лёгкий парус, золотую рыбку"
    ),
    "где": _phrases(
        "в саду, у реки, за домом, под мостом, на крыше, возле школы, на вокзале, в тёмном лесу, около церкви,"
        " на кухне, у окна, за высоким забором, на площади, в деревне, у самого моря, среди поля"
    ),
    "когда": _phrases(
        "вчера, рано утром, после обеда, прошлым летом, в воскресенье, поздно вечером, перед грозой, в полдень,"
        " зимой, каждый день, очень давно, на рассвете, осенью"
    ),
    "как": _phrases("тихо, быстро, громко, молча, вместе, с радостью, без единого слова, опять, не спеша, долго"),
    "пел": _phrases("пел, ждал, смеялся, работал, спал, говорил, гулял, шептал, шёл домой, сидел"),
    "пела": _phrases("пела, ждала, смеялась, работала, спала, говорила, гуляла, шептала, шла домой, сидела"),
    "пели": _phrases("пели, ждали, смеялись, работали, спали, говорили, гуляли, шептали, шли домой, сидели"),
    "номер": _phrases(
        "автобус номер, дом номер, квартира, комната, вагон номер, кабинет, страница, палата номер, билет номер"
    ),
    "закрыто": _phrases(
        "уже здесь, находится далеко, скоро будет на месте, совсем рядом, там за углом, как раз для тебя, ещё ждёт нас"
    ),
}

_RUSSIAN_TEMPLATES = (
    "{он} {нашёл} {вещь} {где}",
    "{когда} {он} {нашёл} {вещь}",
    "{она} {нашла} {вещь} {где}",
    "{когда} {она} {нашла} {вещь}",
    "{они} {нашли} {вещь} {когда}",
    "{где} {они} {пели} {как}",
    "{когда} {он} {пел} {где}",
    "{она} {пела} {как}, а {он} {пел}",
    "{номер} {number} {закрыто}",
    "{где} есть {номер} {number}",
    "{он} {нашёл} ответ: {number}",
    "{когда} нам нужен был код {number}",
    "почему {она} {пела} {где}?",
    "зачем {они} {нашли} {вещь}?",
    "кто {нашёл} {вещь} {когда}?",
    "скажи, {он} {нашёл} {вещь}?",
)


def _english_number(draw: random.Random) -> str:
    return str(draw.choice((draw.randint(2, 100), draw.randint(2, 20), 100 * draw.randint(2, 9))))


def _russian_number(draw: random.Random) -> str:
    return str(draw.choice((draw.randint(2, 99), draw.randint(2, 20), draw.randint(100, 999))))


def _english_ordinal(draw: random.Random) -> str:
    day = draw.randint(1, 28)
    return f"{day}{({1: 'st', 2: 'nd', 3: 'rd'} if day not in (11, 12, 13) else {}).get(day % 10, 'th')}"


_LANGUAGES: Mapping[str, tuple[tuple[str, ...], _Words, Mapping[str, Callable[[random.Random], str]]]] = {
    "en": (_ENGLISH_TEMPLATES, _ENGLISH, {"number": _english_number, "ordinal": _english_ordinal}),
    "ru": (_RUSSIAN_TEMPLATES, _RUSSIAN, {"number": _russian_number}),
}


def compose(language: str, sentences: int, seed: int) -> list[str]:
    """`sentences` different sentences in "en" or "ru", always the same; fewer are a prefix of more."""
    assert sentences <= LARGEST, sentences
    draw = random.Random(f"{language} {seed}")
    templates, words, numbers = _LANGUAGES[language]
    found: dict[str, None] = {}
    for template in cycle(templates):
        if len(found) == sentences:
            break
        text = _filled(template, words, numbers, draw)
        if len(text.split()) <= LONGEST:
            found.setdefault(_punctuated(text, draw))
    return list(found)


def _filled(
    template: str, words: _Words, numbers: Mapping[str, Callable[[random.Random], str]], draw: random.Random
) -> str:
    def word(match: re.Match[str]) -> str:
        slot = match[1]
        return numbers[slot](draw) if slot in numbers else draw.choice(words[slot])

    return re.sub(r"\{(\w+)\}", word, template)


def _punctuated(text: str, draw: random.Random) -> str:
    text = text[0].upper() + text[1:]
    if text.endswith("?"):
        return text if draw.random() < 0.7 else text[:-1]
    return text + draw.choices((".", "", "!"), weights=(4, 4, 2))[0]
