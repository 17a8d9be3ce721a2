"""What the sentences of `demo:en` are made of.

Numbers in digits are below 100 or round hundreds, because espeak-ng says "one hundred five" where num2words writes "one
hundred and five".
"""

import random

from trainer.data.demo.grammar import Grammar, phrases

_WORDS = {
    "adjective": phrases(
        "old, young, quiet, clever, hungry, tired, brave, lucky, proud, gentle, busy, famous, strange, cheerful, tall,"
        " lazy, honest, nervous, foreign, patient, careful, rich, poor, wise"
    ),
    "person": phrases(
        "captain, doctor, farmer, teacher, singer, baker, soldier, gardener, painter, judge, pilot, neighbour, sailor,"
        " tailor, child, uncle, cousin, stranger, lawyer, student, driver, butcher, king, poet"
    ),
    "name": phrases(
        "Alice, George, Martha, Victor, Susan, Oliver, Jane, Philip, Rachel, Hugo, Edith, Thomas, Zoe, Kevin, Laura,"
        " Jack, Nora, Sean"
    ),
    "did": phrases(
        "found, lost, bought, sold, painted, carried, dropped, watched, opened, measured, cleaned, hid, borrowed,"
        " followed, moved, repaired, wanted, touched, noticed, chose, kept, threw, praised, shook"
    ),
    "do": phrases(
        "find, lose, buy, sell, paint, carry, drop, watch, open, measure, clean, hide, borrow, follow, move, repair,"
        " want, touch, notice, choose, keep, throw, praise, shake"
    ),
    "thing": phrases(
        "silver coin, wooden chair, yellow umbrella, broken clock, heavy suitcase, letter, garden gate, bicycle,"
        " blue carpet, leather glove, paper boat, green bottle, piano, ladder, kitchen table, rope, lamp, box of nails,"
        " basket of cherries, small mirror, juicy orange, thick book, wool jacket, copper pipe, stone bridge"
    ),
    "things": phrases(
        "apples, horses, candles, pictures, keys, boxes, maps, ships, flowers, stamps, dishes, shoes, wolves, towers,"
        " questions, villages, journeys, feathers, pigeons, bridges, watches, yellow leaves, thick books, old songs"
    ),
    "place": phrases(
        "in the garden, near the river, behind the house, under the bridge, by the window, at the station, on the roof,"
        " in the old church, across the valley, beside the road, in the kitchen, at the edge of the forest,"
        " on the beach, above the shop, inside the tower, outside the village"
    ),
    "time": phrases(
        "yesterday, last night, this morning, on Sunday, in the summer, before breakfast, after the storm, at noon,"
        " every evening, during the war, long ago, just in time, once a year, at the weekend"
    ),
    "soon": phrases("soon, tomorrow, next week, on Monday, in the autumn, at once, again, after the harvest"),
    "went": phrases(
        "laughed, waited, slept, walked home, sang, whispered, danced, smiled, turned around, fell asleep, sat down,"
        " worked, shouted, went away, ran off, stood up"
    ),
    "how": phrases("quietly, slowly, at once, without a word, again, with joy, in silence, alone, together, for hours"),
    "month": phrases(
        "January, February, March, April, May, June, July, August, September, October, November, December"
    ),
}

_TEMPLATES = (
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


def _number(draw: random.Random) -> str:
    return str(draw.choice((draw.randint(2, 100), draw.randint(2, 20), 100 * draw.randint(2, 9))))


def _ordinal(draw: random.Random) -> str:
    day = draw.randint(1, 28)
    return f"{day}{({1: 'st', 2: 'nd', 3: 'rd'} if day not in (11, 12, 13) else {}).get(day % 10, 'th')}"


GRAMMAR = Grammar(_TEMPLATES, _WORDS, {"number": _number, "ordinal": _ordinal})
