"""What the sentences of `demo:de` are made of. Words have the form that their template needs."""

from trainer.data.demo.grammar import Grammar, number, phrases

_WORDS = {
    "wer": phrases(
        "der alte Müller, die junge Lehrerin, mein Bruder, unsere Nachbarin, der müde Soldat, das kleine Mädchen,"
        " ein fremder Maler, die Königin, der Fischer, meine Großmutter, der fleißige Schüler, ein Kapitän, Jürgen,"
        " Anna, Günther, die Sängerin, der Bäcker, das Kind, unser Onkel, die kluge Ärztin"
    ),
    "fand": phrases(
        "fand, verlor, kaufte, verkaufte, malte, trug, öffnete, versteckte, suchte, wusch, zeigte, vergaß, holte,"
        " brachte, liebte, zerbrach, bewachte, betrachtete"
    ),
    "finden": phrases(
        "finden, verlieren, kaufen, verkaufen, malen, tragen, öffnen, verstecken, suchen, waschen, zeigen, vergessen,"
        " holen, bringen, bewachen, betrachten"
    ),
    "was": phrases(
        "den silbernen Löffel, die gelbe Tasche, das zerbrochene Fenster, einen schweren Koffer, die blaue Mütze,"
        " das dicke Buch, den grünen Schlüssel, eine kleine Uhr, den Brief, das schöne Bild, einen runden Spiegel,"
        " die lange Leiter, das weiße Pferd, den Kuchen, eine Flasche Milch, den süßen Apfel, die Brücke, das Zelt,"
        " den jungen Hund, ein Stück Käse"
    ),
    "dinge": phrases(
        "Äpfel, Pferde, Kerzen, Bilder, Schlüssel, Bücher, Häuser, Schiffe, Blumen, Teller, Schuhe, Wölfe, Türme,"
        " Fragen, Dörfer, Federn, Brücken, Vögel, Nüsse, Stühle, Lieder, Züge"
    ),
    "wo": phrases(
        "im Garten, am Fluss, hinter dem Haus, unter der Brücke, am Fenster, im Bahnhof, auf dem Dach, in der Küche,"
        " neben der Straße, vor der Tür, über dem Laden, im Wald, auf der Wiese, zwischen den Bäumen, in der Schule,"
        " außerhalb der Stadt"
    ),
    "wann": phrases(
        "gestern, heute früh, am Sonntag, im Sommer, vor dem Frühstück, nach dem Regen, um Mitternacht, jeden Abend,"
        " im März, vor langer Zeit, plötzlich, im letzten Jahr, zum Glück, am nächsten Tag"
    ),
    "ging": phrases(
        "lachte, wartete, schlief, sang, tanzte, flüsterte, lächelte, arbeitete, schwieg, träumte, weinte, spielte,"
        " zitterte, betete, jubelte"
    ),
    "wie": phrases(
        "leise, langsam, sofort, ohne ein Wort, wieder, mit Freude, allein, gemeinsam, stundenlang, schnell"
    ),
    "wie-ist": phrases("alt, jung, schön, schwer, teuer, grün, leer, groß, klein, sauber, kaputt, müde, rund, neu"),
}

_TEMPLATES = (
    "{wer} {fand} {was} {wo}",
    "{wann} {fand} {wer} {was}",
    "{wo} {ging} {wer} {wie}",
    "{wer} {ging} {wie} {wo}",
    "{wer} {fand} {wann} {was}",
    "wir sahen {number} {dinge} {wo}",
    "{wann} zählte {wer} {number} {dinge}",
    "Zimmer {number} ist voller {dinge}",
    "der Bus Nummer {number} hält {wo}",
    "{wer} wird {was} {finden}",
    "{wer} möchte {wann} {was} {finden}",
    "hat {wer} {number} {dinge} {wo} gesehen?",
    "warum {fand} {wer} {was}?",
    "wer {fand} {was} {wo}?",
    "alle {dinge} {wo} sind {wie-ist}",
    "niemand {ging} {wo}",
)

GRAMMAR = Grammar(_TEMPLATES, _WORDS, {"number": number})
