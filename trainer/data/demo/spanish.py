"""What the sentences of `demo:es` are made of. Words have the form that their template needs."""

from trainer.data.demo.grammar import Grammar, number, phrases

_WORDS = {
    "quién": phrases(
        "el viejo molinero, la joven maestra, mi hermano, nuestra vecina, el soldado cansado, la niña pequeña,"
        " un pintor famoso, la reina, el pescador, mi abuela, un alumno aplicado, el capitán, José, Begoña, Íñigo,"
        " la cantante, el panadero, un niño, mi tío, la hermana de Juan"
    ),
    "encontró": phrases(
        "encontró, perdió, compró, vendió, pintó, llevó, abrió, escondió, buscó, lavó, mostró, olvidó, eligió, rompió,"
        " reparó, guardó, tiró, prefirió"
    ),
    "encontrar": phrases(
        "encontrar, perder, comprar, vender, pintar, llevar, abrir, esconder, buscar, lavar, mostrar, olvidar, elegir,"
        " reparar, guardar, tirar"
    ),
    "qué": phrases(
        "la cuchara de plata, un bolso amarillo, la ventana rota, una maleta pesada, el gorro azul, un libro grueso,"
        " la llave verde, un reloj pequeño, la carta, un cuadro bonito, el espejo redondo, una escalera larga,"
        " el caballo blanco, un pastel, una botella de leche, la manzana roja, el puente de piedra, una vieja canción,"
        " el perro joven, un trozo de queso"
    ),
    "cosas": phrases(
        "manzanas, caballos, velas, cuadros, llaves, libros, casas, barcos, flores, platos, zapatos, lobos, torres,"
        " preguntas, aldeas, plumas, puentes, pájaros, nueces, sillas, canciones, trenes"
    ),
    "dónde": phrases(
        "en el jardín, cerca del río, detrás de la casa, bajo el puente, junto a la ventana, en la estación,"
        " sobre el tejado, en la cocina, al lado del camino, delante de la puerta, en el mercado, en el bosque,"
        " en la playa, entre los árboles, en la escuela, fuera de la ciudad"
    ),
    "cuándo": phrases(
        "ayer, esta mañana, el domingo, en verano, antes del desayuno, después de la lluvia, a medianoche,"
        " cada noche, en otoño, hace mucho tiempo, de repente, el año pasado, por suerte, al día siguiente"
    ),
    "hizo": phrases(
        "rio, esperó, durmió, cantó, bailó, susurró, sonrió, trabajó, calló, volvió a casa, huyó, soñó, lloró,"
        " se sentó, se levantó"
    ),
    "cómo": phrases(
        "despacio, en voz baja, enseguida, sin decir nada, otra vez, con alegría, en silencio, durante horas, deprisa"
    ),
}

_TEMPLATES = (
    "{quién} {encontró} {qué} {dónde}",
    "{cuándo} {quién} {encontró} {qué}",
    "{dónde} {quién} {hizo} {cómo}",
    "{quién} {hizo} {cómo} {dónde}",
    "{quién} {encontró} {qué} {cuándo}",
    "vimos {number} {cosas} {dónde}",
    "{cuándo} {quién} contó {number} {cosas}",
    "la habitación {number} está llena de {cosas}",
    "el autobús número {number} para {dónde}",
    "{quién} va a {encontrar} {qué}",
    "{quién} quiere {encontrar} {qué} {cuándo}",
    "¿{encontró} {quién} {qué} {dónde}?",
    "¿por qué {encontró} {quién} {qué}?",
    "¿quién {encontró} {qué} {dónde}?",
    "hay muchas preguntas y {number} {cosas} {dónde}",
    "nadie {hizo} {dónde}",
)

GRAMMAR = Grammar(_TEMPLATES, _WORDS, {"number": number})
