"""What English speaks in another way than it writes it: units, Roman numerals, acronyms, addresses."""

import pytest

from trainer.text import normalise

READ = {
    # Units.
    "He ran 5 km, 1 km and 1.5 km.": "he ran five kilometers, one kilometer and one point five kilometers.",
    "1 kg; 500g; 2 lbs. and 3 oz.": "one kilogram; five hundred grams; two pounds and three ounces.",
    "16 GB, 60 MPH, 100 km/h, 60 km/hr": "sixteen gigabytes, sixty miles per hour, one hundred kilometers per hour, "
    "sixty kilometers per hour",
    "20 °C, 1°C, 68° F, 90°": "twenty degrees celsius, one degree celsius, sixty-eight degrees fahrenheit, "
    "ninety degrees",
    "50% of 20 m² or 3 km²": "fifty percent of twenty square meters or three square kilometers",
    "It took 5 hrs. to come": "it took five hours to come",
    "30 min. Then 1 hr.": "thirty minutes. then one hour.",
    "1/2 km, ½ oz, 2 1/2 mi": "one half of a kilometer, one half of an ounce, two and a half miles",
    "a 10-ft pole": "a ten foot pole",
    "a 10 ft wall, a 5-10 km walk, an 80 yr old man": "a ten foot wall, a five to ten kilometer walk, an eighty year "
    "old man",
    "the 100 m race, the 5 lb. bag, my 4 yr olds, a 60 mph wind": "the one hundred meter race, the five pound bag, my "
    "four year olds, a sixty mile per hour wind",
    "the 5 km were hard, the 10 kg of it, 10 ft from a wall": "the five kilometers were hard, the ten kilograms of it, "
    "ten feet from a wall",
    "the 5 km. Then a wall, another 10 km run": "the five kilometers. then a wall, another ten kilometers run",
    "5 km. from here, 5 km. Then": "five kilometers from here, five kilometers. then",
    "a 1/100s exposure, 2/3s of it, 2/3rds, 1/8th": "a one one hundredth of a second exposure, two thirds of it, two "
    "thirds, one eighth",
    "It took 13s, Boeing 737s": "it took thirteen seconds, boeing seven hundred and thirty-seven s",
    "$5.6t, $15mm, 15mm, 5t": "five point six trillion dollars, fifteen million dollars, fifteen millimeters, five "
    "tons",
    "1984 kg and 1 Hz, 2 kHz": "one thousand nine hundred and eighty-four kilograms and one hertz, two kilohertz",
    "6'2\" tall": "six feet two inches tall",
    "$3/kg, 5/day": "three dollars per kilogram, five per day",
    "5.5 m/s at 1,000 sq. ft.": "five point five meters per second at one thousand square feet.",
    "5 Ms. Lee": "five miz lee",
    # Roman numerals.
    "Henry VIII met Louis XIV.": "henry the eighth met louis the fourteenth.",
    "Elizabeth II's guard, Pope John Paul II": "elizabeth the second's guard, pope john paul the second",
    "Henry V came, V. Smith did": "henry the fifth came, v. smith did",
    "World War II and World War I": "world war two and world war one",
    "Chapter IV, Act V, Vol. II": "chapter four, act five, volume two",
    "Part I: the end. Part I think is good.": "part one: the end. part i think is good.",
    "Rocky II, Apollo XI, Super Bowl XLII": "rocky two, apollo eleven, super bowl forty-two",
    "the XIX century": "the nineteenth century",
    "Henry Ford III in MCMLXXXIV": "henry ford the third in nineteen eighty-four",
    "I and Mary I mix civil DID MIX Civil, I": "i and mary i mix civil did mix civil, i",
    "After IV drips, chapter iv, Size XXX": "after i v drips, chapter iv, size x x x",
    # Abbreviations.
    "Est. 1984, est. 500 people": "established nineteen eighty-four, estimated five hundred people",
    "approx. 5 vs. No. 6 vs 7": "approximately five versus number six versus seven",
    "at 5 a.m. or 6 P.M.": "at five a m or six p m.",
    "milk w/o sugar, and/or w/ honey": "milk without sugar, and or with honey",
    "ext. 5, apt. 6, max. 7": "extension five, apartment six, maximum seven",
    "He met Max.": "he met max.",
    "He met Max. 5 men came to an avg. Tel": "he met max. five men came to an avg. tel",
    "Max. 5 men, avg. 6, min. 7, (max. 8)": "maximum five men, average six, minimum seven, (maximum eight)",
    "tel. 555-0199, Tel.: +1 555 010 9999": "telephone five five five, zero one nine nine, telephone: plus one, five "
    "five five, zero one zero, nine nine nine nine",
    "an A and a C. 5 men": "an a and a c. five men",
    "c. 1850, c. 500 BC, ca. 50 men": "circa eighteen fifty, circa five hundred b c, circa fifty men",
    "vitamin c. 5 men, S.A. de C.V.": "vitamin c. five men, s a de c v.",
    "I love art. I do. Modern art. 5 men.": "i love art. i do. modern art. five men.",
    "I ate a fig. 5 men wait a sec. 6 do.": "i ate a fig. five men wait a sec. six do.",
    "see fig. 5 and sec. 6, Fig. 7, Art. 8": "see figure five and section six, figure seven, article eight",
    "P.V. Rao, p. IV, pp. 5, (p. 6)": "p v rao, page four, pages five, (page six)",
    "He has ESP. It is so. MS. It is.": "he has e s p. it is so. m s. it is.",
    "Esp. now, cf. Ms. Lee": "especially now, compare miz lee",
    "Mr. E. G. Lee, I. E. Lee, e.g. so, I.e. so": "mister e g lee, i e lee, for example so, that is so",
    "LL.D., B.Sc., Ph.D. now": "l l d, b s c, p h d now",
    "5th Ave. and 6th St. in, the 6th St. John": "fifth avenue and sixth street in, the sixth saint john",
    "DR. LEE CAME.": "doctor lee came.",
    "Rogers and Co. of Acme & Co., Co. of": "rogers and company of acme and company, co. of",
    # Versions.
    "Version 2.0.1, v3.1": "version two point zero point one, version three point one",
    "192.168.0.1": "one hundred and ninety-two point one hundred and sixty-eight point zero point one",
    # Telephone numbers.
    "Call 555-0199.": "call five five five, zero one nine nine.",
    "+1 (555) 010-9999": "plus one, five five five, zero one zero, nine nine nine nine",
    "(555) 010-9999 or 1-800-555-0199": "five five five, zero one zero, nine nine nine nine or one, eight zero zero, "
    "five five five, zero one nine nine",
    "dial 234-5678, 500-1000 people": "dial two three four, five six seven eight, five hundred to one thousand people",
    "+15 °C and +5": "plus fifteen degrees celsius and plus five",
    # Addresses.
    "See www.example.com.": "see w w w dot example dot com.",
    "https://example.org/a-b?x=1, go": "example dot org slash a dash b question mark x equals one, go",
    "jane.doe@Example.COM": "jane dot doe at example dot com",
    "this is it.Then go": "this is it.then go",
    "Visit me.It is fun.": "visit me.it is fun.",
    "we left.by the way, join.us, Us.Net": "we left.by the way, join.us, us dot net",
    "Amazon.com, SPACE.COM, bbc.co.uk": "amazon dot com, space dot com, bbc dot co dot uk",
    "www.me.it, http://me.it, a@me.it, me.it/a": "w w w dot me dot it, me dot it, a at me dot it, me dot it slash a",
    # Ranges and scores.
    "10-12 people, pp. 10–12": "ten to twelve people, pages ten to twelve",
    "1939-1945, 1.5-2.5 km, 5%-10%": "nineteen thirty-nine to nineteen forty-five, one point five to two point five "
    "kilometers, five percent to ten percent",
    "won 3:1 and 3-1, 10:30-11:30": "won three to one and three-one, ten thirty to eleven thirty",
    "May 5-7, 2024": "may fifth to seventh, twenty twenty-four",
    # Acronyms.
    "NASA, the BBC and the FBI's CDs": "nasa, the b b c and the f b i's c d's",
    "MP3s, H2O, USA, PhD": "m p three s, h two o, u s a, p h d",
    "THE BBC IS HERE": "the bbc is here",
    "OK, Mr. HMM": "ok, mister hmm",
    # Signs.
    "the 1st, 22nd, 103rd": "the first, twenty-second, one hundred and third",
    "1/2 cup, 3/4, 9/11, 24/7": "one half cup, three quarters, nine eleven, twenty-four seven",
    "We're #1, #fun": "we're number one, hashtag fun",
    "A & B, AT&T, x @ y, me@home": "a and b, at and t, x at y, me at home",
    "~5, <6, ≥7, 20+, A+, 3 x 4": "about five, less than six, at least seven, twenty plus, a plus, three by four",
}


@pytest.mark.parametrize("written", READ)
def test_english_is_read_as_it_is_spoken(written: str) -> None:
    read = normalise(written, "en")
    assert read == READ[written]
    assert normalise(read, "en") == read


def test_only_capital_letters_are_roman_numerals() -> None:
    words = "mix did civil livid mild dim vivid i ii iv vi xi chapter v louis xiv"
    assert normalise(words, "en") == words
