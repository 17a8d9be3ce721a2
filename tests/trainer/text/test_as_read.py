"""Numbers, dates, money and abbreviations, as they are read."""

import pytest

from trainer.text import normalise

ENGLISH = {
    "In 1984, Dr. Smith paid $20.50 for 3 books at 10:30 a.m.": "in nineteen eighty-four, doctor smith paid twenty "
    "dollars and fifty cents for three books at ten thirty a m.",
    "On May 12, 2024, Mr. Jones moved to 221 Baker St.": "on may twelfth, twenty twenty-four, mister jones moved to "
    "two hundred and twenty-one baker street.",
    "St. John's on Main St. was built in 1890, i.e. long ago.": "saint john's on main street was built in eighteen "
    "ninety, that is long ago.",
    "Prices rose 5.5% in the 1990s, from £1,250 to £1,318.75.": "prices rose five point five percent in the nineteen "
    "nineties, from one thousand two hundred and fifty pounds to one thousand three hundred and eighteen pounds and "
    "seventy-five pence.",
    "Born on 3/4/1975, she won 1st prize: 20 euros.": "born on march fourth, nineteen seventy-five, she won first "
    "prize: twenty euros.",
    "The No. 5 bus costs $1.5 million, e.g. $5–10 each.": "the number five bus costs one point five million dollars, "
    "for example five to ten dollars each.",
    "We meet on 12 June at 14:00; bring ½ of it, etc.": "we meet on the twelfth of june at fourteen hundred; bring one "
    "half of it, et cetera.",
    "From 1914-1918 over 1500 men and 2,000 women served.": "from nineteen fourteen to nineteen eighteen over one "
    "thousand five hundred men and two thousand women served.",
    "Chapter 3 & vol. 2 say 2 + 2 = 4 at -5°C.": "chapter three and volume two say two plus two equals four at minus "
    "five degrees celsius.",
    "The U.S. Army came at 9:05 on 2005-06-07 for a $20 bill.": "the u s army came at nine oh five on june seventh, "
    "two thousand and five for a twenty dollar bill.",
}
RUSSIAN = {
    "В 1984 году он заплатил $20 за 3 книги.": "в тысяча девятьсот восемьдесят четвёртом году он заплатил двадцать "
    "долларов за три книги.",
    "Встреча 12 мая 2024 г. в 10:30, ул. Ленина, д. 5.": "встреча двенадцатого мая две тысячи двадцать четвёртого года "
    "в десять тридцать, улица ленина, дом пять.",
    "Цена выросла на 5 % — до 1 250 руб., т. е. сильно.": "цена выросла на пять процентов - до одной тысячи двухсот "
    "пятидесяти рублей, то есть сильно.",
    "С 1941 по 1945 гг. шла война.": "с тысяча девятьсот сорок первого по тысяча девятьсот сорок пятый годы шла война.",
    "К 5 часам пришли 2 девочки и 21 мальчик с 5 друзьями.": "к пяти часам пришли две девочки и двадцать один мальчик "
    "с пятью друзьями.",
    "Это было в XIX в. до н. э., 1 г. назад.": "это было в девятнадцатом веке до нашей эры, один г. назад.",
    "1-й этаж, 2-я дверь, в 1990-х годах.": "первый этаж, вторая дверь, в тысяча девятьсот девяностых годах.",
    "Около 20 человек купили 2,5 млн акций и т. д.": "около двадцати человек купили две целых пять десятых миллиона "
    "акций и так далее.",
    "Слушай Windows 11 и рад+ио №\u00a05.": "слушай windows одиннадцать и рад+ио номер пять.",
    "Ёлку купили 31.12.2023 за 1 005,50 ₽ при −1 °C.": "ёлку купили тридцать первого декабря две тысячи двадцать "
    "третьего года за одна тысяча пять рублей пятьдесят копеек при минус один градус цельсия.",
}


@pytest.mark.parametrize("written", ENGLISH)
def test_ten_english_sentences(written: str) -> None:
    assert len(ENGLISH) == 10
    assert normalise(written, "en") == ENGLISH[written]


@pytest.mark.parametrize("written", RUSSIAN)
def test_ten_russian_sentences(written: str) -> None:
    assert len(RUSSIAN) == 10
    assert normalise(written, "ru") == RUSSIAN[written]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1900, 1805 and 2000", "nineteen hundred, eighteen oh five and two thousand"),
        ("the '90s", "the nineties"),
        ("1914–18", "nineteen fourteen to eighteen"),
        ("$1 or £0.01 or 50¢", "one dollar or one penny or fifty cents"),
        ("-$5 and US$7, 20 USD", "minus five dollars and seven u s dollars, twenty u s dollars"),
        ("10:00 or 10:00 pm", "ten o'clock or ten p m"),
        ("5 p.m. Then", "five p m. then"),
        ("10:30:15", "ten thirty and fifteen seconds"),
        ("a ratio of 2:1", "a ratio of two to one"),
        ("the 12th of May, Jan. 5", "the twelfth of may, january fifth"),
        ("13/5/2024, 12.05.2024", "may thirteenth, twenty twenty-four, may twelfth, twenty twenty-four"),
        ("2 3/4 cups", "two and three quarters cups"),
        ("May 10,000 march", "may ten thousand march"),
        ("You may 5 times", "you may five times"),
        ("St Andrews, Rev. Lee", "saint andrews, reverend lee"),
        ("Dr. Lee, Mulholland Dr.", "doctor lee, mulholland drive."),
        ("Acme Inc. and J. R. R. Tolkien", "acme incorporated and j r r tolkien"),
        ("№ 5Mr. Lee, 12.05.2024Mr.", "number five mister lee, may twelfth, twenty twenty-four mister"),
        ("He said no. 5 came.", "he said number five came."),
    ],
)
def test_english_in_detail(written: str, read: str) -> None:
    assert normalise(written, "en") == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("к 12 мая", "к двенадцатому мая"),
        ("сегодня 12 мая", "сегодня двенадцатое мая"),
        ("к 2010 году, до 2010 года", "к две тысячи десятому году, до две тысячи десятого года"),
        ("в 1941—1945 гг.", "в тысяча девятьсот сорок первом - тысяча девятьсот сорок пятом годах."),
        ("1990-е годы", "тысяча девятьсот девяностые годы"),
        ("1 книгу, 22 страницы", "одну книгу, двадцать две страницы"),
        ("у 2 братьев, о 3 городах", "у двух братьев, о трёх городах"),
        ("5 больших столов, с 5 часов", "пять больших столов, с пяти часов"),
        ("автобус номер 21 уже здесь", "автобус номер двадцать один уже здесь"),
        ("1 ₽, 2 ₽, 5 ₽, 1 коп.", "один рубль, два рубля, пять рублей, одна копейка."),
        ("$5 млн, 2 тыс. руб.", "пять миллионов долларов, две тысячи рублей."),
        ("21 %, до 21 %, 2,5 %", "двадцать один процент, до двадцати одного процента, две целых пять десятых процента"),
        ("10:00, 1:00, 10:05", "десять часов, один час, десять ноль пять"),
        ("3/4 и 1½", "три четвёртых и одна и одна вторая"),
        ("5т. е. ½млн", "пять то есть одна вторая миллионов"),
        ("в г. Москва, г. Тверь", "в городе москва, город тверь"),
        ("1 234 и 1\u202f234", "одна тысяча двести тридцать четыре и одна тысяча двести тридцать четыре"),
    ],
)
def test_russian_in_detail(written: str, read: str) -> None:
    assert normalise(written, "ru") == read
