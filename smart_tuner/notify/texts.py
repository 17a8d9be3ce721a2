"""The texts of all messages, in English and in Russian side by side.

`{trials:trial|trials}` stands for a number and its noun in the right form. English has two forms (one, many), Russian
three (one, few, many): 1 and 21 take the first, 2 to 4 and 22 to 24 the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smart_tuner import figures
from trainer.evaluation.verdict import Heard

Language = Literal["en", "ru"]


@dataclass(frozen=True)
class Text:
    en: str
    ru: str


class Count(int):
    """A number that is formatted with its noun in the right form."""

    def __format__(self, forms: str) -> str:
        if not forms:
            return str(int(self))
        given = forms.split("|")
        return f"{int(self)} {given[_english(self) if len(given) == 2 else _russian(self)]}"


def render(language: Language, text: Text, **values: object) -> str:
    """The text with these values. Whole numbers are counts; other values are inserted unchanged."""
    counted = {key: Count(value) if isinstance(value, int) else value for key, value in values.items()}
    template: str = getattr(text, language)
    return template.format(**counted)


def _english(number: int) -> int:
    return 0 if number == 1 else 1


def _russian(number: int) -> int:
    if number % 100 in (11, 12, 13, 14):
        return 2
    return {1: 0, 2: 1, 3: 1, 4: 1}.get(number % 10, 2)


STARTED = Text(
    "{study}: started. {trials:trial|trials} asked for, {jobs} at a time, on {machine}.",
    "{study}: начато. Нужно {trials:испытание|испытания|испытаний}, одновременно {jobs}, машина {machine}.",
)
CONTINUED = Text(
    "{study}: continued. {done} of {trials:trial|trials} finished, {jobs} at a time, on {machine}.",
    "{study}: продолжается. Завершено {done} из {trials:испытания|испытаний|испытаний}, "
    "одновременно {jobs}, машина {machine}.",
)
# The figures that a study can optimise; one that is not here has its English name.
OBJECTIVES: Mapping[str, Text] = {
    figure.name: Text(f"{figure.words} {{value}}", f"{russian} {{value}}")
    for figure, russian in (
        (figures.DISTANCE, "расстояние до записей"),
        (figures.LOSS, "ошибка на валидации (teacher forcing)"),
    )
}
# What is heard, and what to do next.
VERDICTS: Mapping[Heard | None, Text] = {
    None: Text("not measured", "не измерено"),
    Heard.MUTE: Text(Heard.MUTE, "нет речи"),
    Heard.HUM: Text(Heard.HUM, "выровнено, но гул"),
    Heard.PARTS: Text(Heard.PARTS, "местами разборчиво"),
    Heard.INTELLIGIBLE: Text(Heard.INTELLIGIBLE, "разборчиво"),
    Heard.GOOD: Text(Heard.GOOD, "хорошо"),
}
ADVICE: Mapping[Heard | None, Text] = {
    None: Text(
        "A larger budget.frames or a wider search usually helps.",
        "Обычно помогает больший budget.frames или более широкий поиск.",
    ),
    Heard.MUTE: Text(
        Heard.MUTE.advice,
        "В свободном режиме внимание не следует за текстом, или фразы не кончаются: ищите с направляемым вниманием "
        "и проверьте корпус на тишину и неверные тексты.",
    ),
    Heard.HUM: Text(Heard.HUM.advice, "Ритм текста есть, но слов ещё нет: обучайте дольше."),
    Heard.PARTS: Text(Heard.PARTS.advice, "Слышны отдельные слова: обучайте дольше."),
    Heard.INTELLIGIBLE: Text(
        Heard.INTELLIGIBLE.advice,
        "Слова понятны, но звук размыт: обучайте дольше или возьмите больший preset.",
    ),
    Heard.GOOD: Text(Heard.GOOD.advice, "Близко к записям."),
}
BEST = Text(
    "{study}: new best, trial {number}: {figure}, alignment {alignment}. What is heard: {heard}. "
    "{done} of {trials:trial|trials} finished.",
    "{study}: новое лучшее испытание {number}: {figure}, выравнивание {alignment}. Что слышно: {heard}. "
    "Завершено {done} из {trials:испытания|испытаний|испытаний}.",
)
FINISHED = Text(
    "{study}: finished. {trials:trial|trials} in {duration}: {complete} complete, {pruned} pruned, {failed} failed.",
    "{study}: готово. {trials:испытание|испытания|испытаний} за {duration}: "
    "пройдено до конца {complete}, остановлено раньше {pruned}, не удалось {failed}.",
)
THE_BEST = Text(
    "Best: trial {number}, {figure}, alignment {alignment}\nWhat is heard: {heard}.{advice}\n{params}\n"
    "smart-tuner best --study {study}",
    "Лучшее: испытание {number}, {figure}, выравнивание {alignment}\nЧто слышно: {heard}.{advice}\n{params}\n"
    "smart-tuner best --study {study}",
)
NONE_FEASIBLE = Text(
    "No trial satisfies the constraints.{nearest} {advice}\nsmart-tuner status --study {study}",
    "Ни одно испытание не удовлетворяет ограничениям.{nearest} {advice}\nsmart-tuner status --study {study}",
)
NEAREST = Text(" Nearest is trial {number}: {missed}.", " Ближе всех испытание {number}: {missed}.")
UNFINISHED = Text(figures.UNFINISHED, "оно не дошло до конца обучения")
# Constraints that a trial misses; one that is not here has its own name.
MISSED: Mapping[str, Text] = {
    name: Text(figures.MISSED[name], russian)
    for name, russian in {
        "alignment": "выравнивание с подсказкой (teacher forcing) слишком низкое",
        "free_running_alignment": "выравнивание в свободном режиме слишком низкое",
        "failed": "слишком много фраз не удаётся",
        "memory": "параметры не помещаются в память",
    }.items()
}
ATTENTION_FAILS = Text(
    "{study}: attention failed in {failing} of the last {seen:trial|trials}. What helps: guided attention for every "
    "trial (guided_attention.enabled, a larger guided_attention.weight), or a longer budget.frames.",
    "{study}: внимание не выровнялось в {failing} из последних {seen:испытания|испытаний|испытаний}. Что помогает: "
    "направляемое внимание во всех испытаниях (guided_attention.enabled, больший guided_attention.weight) "
    "или больший budget.frames.",
)
WORKER_LOST = Text(
    "{study}: a worker was lost. {count:trial|trials} back in the queue, to be continued: {numbers}.",
    "{study}: рабочий процесс пропал. {count:испытание|испытания|испытаний} снова в очереди: {numbers}.",
)
WORKER_BROKEN = Text(
    "{machine}: {count:attempt|attempts} failed in a row, so the worker there has stopped. The last failure:\n{reason}",
    "{machine}: {count:попытка|попытки|попыток} подряд не удались, рабочий процесс остановлен. "
    "Последняя причина:\n{reason}",
)
WORKER_LEFT = Text(
    "{machine}: the worker was asked to stop. Its trials are saved; the same command continues them.",
    "{machine}: рабочий процесс остановлен по просьбе. Испытания сохранены, их продолжит та же команда.",
)
STOPPED = Text(
    "{study}: stopped. {done} of {trials:trial|trials} finished.\nsmart-tuner resume --study {study}",
    "{study}: остановлено. Завершено {done} из {trials:испытания|испытаний|испытаний}.\n"
    "smart-tuner resume --study {study}",
)
TIME_IS_UP = Text(
    "{study}: its time is up (hours). {done} of {trials:trial|trials} finished.\nsmart-tuner resume --study {study}",
    "{study}: время вышло (hours). Завершено {done} из {trials:испытания|испытаний|испытаний}.\n"
    "smart-tuner resume --study {study}",
)
FRAMES_ARE_TRAINED = Text(
    "{study}: it has trained the {frames} frames that were asked for. {done} of {trials:trial|trials} finished.\n"
    "smart-tuner optimize --name {study} --frames MORE",
    "{study}: обучено на {frames} кадрах, как просили. Завершено {done} из "
    "{trials:испытания|испытаний|испытаний}.\nsmart-tuner optimize --name {study} --frames MORE",
)
NO_SPACE = Text(
    "{machine}: the workspace cannot be written to. Trials of {study} go on once there is space:\n{reason}",
    "{machine}: в рабочую папку нельзя писать. Испытания {study} продолжатся, когда появится место:\n{reason}",
)
LEFT_OUT = Text(
    "({count:message|messages} before this one could not be sent)",
    "(до этого {count:сообщение|сообщения|сообщений} отправить не удалось)",
)
TEST = Text(
    "Smart Tuner on {machine}: notifications arrive.",
    "Smart Tuner на машине {machine}: уведомления доходят.",
)
HOURS = Text("{hours} h {minutes} min", "{hours} ч {minutes} мин")
MINUTES = Text("{minutes} min {seconds} s", "{minutes} мин {seconds} с")


def duration(language: Language, seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return render(language, MINUTES, minutes=minutes, seconds=rest)
    return render(language, HOURS, hours=minutes // 60, minutes=minutes % 60)
