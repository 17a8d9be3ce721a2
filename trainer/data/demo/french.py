"""What the sentences of `demo:fr` are made of. Words have the form that their template needs."""

from trainer.data.demo.grammar import Grammar, number, phrases

_WORDS = {
    "qui": phrases(
        "le vieux meunier, la jeune maîtresse, mon frère, notre voisine, le soldat fatigué, la petite fille,"
        " un peintre célèbre, la reine, le pêcheur, ma grand-mère, un élève sérieux, le capitaine, François, Hélène,"
        " Agnès, la chanteuse, le boulanger, un enfant, mon oncle, la sœur de Jean"
    ),
    "trouva": phrases(
        "a trouvé, a perdu, a acheté, a vendu, a peint, a porté, a ouvert, a caché, a cherché, a lavé, a montré,"
        " a oublié, a choisi, a brisé, a réparé, a gardé, a jeté, a préféré"
    ),
    "trouver": phrases(
        "trouver, perdre, acheter, vendre, peindre, porter, ouvrir, cacher, chercher, laver, montrer, oublier, choisir,"
        " réparer, garder, jeter"
    ),
    "quoi": phrases(
        "la cuillère en argent, un sac jaune, la fenêtre cassée, une lourde valise, le bonnet bleu, un gros livre,"
        " la clé verte, une petite horloge, la lettre, un beau tableau, le miroir rond, une longue échelle,"
        " le cheval blanc, un gâteau, une bouteille de lait, la pomme rouge, le pont de pierre, une vieille chanson,"
        " le jeune chien, un morceau de fromage"
    ),
    "choses": phrases(
        "pommes, chevaux, bougies, tableaux, clés, livres, maisons, bateaux, fleurs, assiettes, chaussures, loups,"
        " tours, questions, villages, plumes, ponts, oiseaux, noix, chaises, chansons, trains"
    ),
    "fleurs": phrases(  # feminine
        "pommes, bougies, clés, maisons, fleurs, assiettes, chaussures, tours, questions, plumes, noix, chaises"
    ),
    "où": phrases(
        "dans le jardin, près de la rivière, derrière la maison, sous le pont, devant la fenêtre, à la gare,"
        " sur le toit, dans la cuisine, au bord de la route, à côté de la porte, au marché, dans la forêt,"
        " sur la plage, entre les arbres, à l'école, hors de la ville"
    ),
    "quand": phrases(
        "hier, ce matin, dimanche, en été, avant le déjeuner, après la pluie, à minuit, chaque soir, en août,"
        " il y a longtemps, tout à coup, l'année dernière, par bonheur, le lendemain"
    ),
    "fit": phrases(
        "a ri, a attendu, a dormi, a chanté, a dansé, a souri, a travaillé, a rêvé, a pleuré, parlait, se taisait,"
        " marchait, jouait, courait, se reposait"
    ),
    "comment": phrases(
        "doucement, lentement, tout de suite, sans un mot, encore, avec joie, en silence, longtemps, très vite"
    ),
    "comme": phrases("rouges, vides, jaunes, magnifiques, propres, utiles, énormes, fragiles, superbes, tristes"),
}

_TEMPLATES = (
    "{qui} {trouva} {quoi} {où}",
    "{quand}, {qui} {trouva} {quoi}",
    "{où}, {qui} {fit} {comment}",
    "{qui} {fit} {comment} {où}",
    "{qui} {trouva} {quoi} {quand}",
    "nous avons vu {number} {choses} {où}",
    "{quand}, {qui} a compté {number} {choses}",
    "la chambre {number} est pleine de {choses}",
    "le bus numéro {number} s'arrête {où}",
    "{qui} va {trouver} {quoi}",
    "{qui} voudrait {trouver} {quoi} {quand}",
    "{quand}, {qui} {trouva} {quoi}?",
    "pourquoi {qui} {trouva} {quoi}?",
    "qui {trouva} {quoi} {où}?",
    "toutes les {fleurs} sont {comme} {où}",
    "personne ne veut {trouver} {quoi}",
)

GRAMMAR = Grammar(_TEMPLATES, _WORDS, {"number": number})
