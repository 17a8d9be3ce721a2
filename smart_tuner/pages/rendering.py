"""jinja2 for the pages: text is escaped, and an undefined name is an error."""

import base64
import re
from importlib import resources
from typing import Any

from smart_tuner.formatting import duration, readable
from trainer.evaluation.verdict import Heard

# A page fetches nothing from the network; only the audition posts to its own server.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
)
ATTENTION_CAPTION = "Attention: one unbroken diagonal is necessary for speech, not enough: a hum may have it, too."


def render(template: str, **values: Any) -> str:
    """Render a template of the folder `templates`. HTML is escaped; in Markdown only where the template does so."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smart_tuner.pages"),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=readable, duration=duration, cell=cell, indented=indented, breakable=breakable, coded=coded, words=words
    )
    environment.globals |= {"source": _source, "tone": tone}
    return environment.get_template(template).render(**values)


def tone(verdict: Heard | None) -> str:
    """The class that colours a verdict; none where only parts are intelligible, or nothing is known."""
    if verdict in (Heard.GOOD, Heard.INTELLIGIBLE):
        return "well"
    return "bad" if verdict in (Heard.HUM, Heard.MUTE) else ""


def _source(name: str) -> Any:
    """A style sheet or script of ours, not escaped."""
    from markupsafe import Markup

    return Markup(resources.files("smart_tuner.pages").joinpath("templates", name).read_text(encoding="utf-8"))


def text_uri(text: str, kind: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def breakable(name: str) -> Any:
    """A dotted name that browsers may break at its dots and underscores."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(name))))


def coded(text: str) -> Any:
    """What stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def words(command: str) -> Any:
    """A command whose words browsers keep in one line, as far as they fit: else an option may break at its hyphens."""
    from markupsafe import Markup

    return Markup(" ").join(Markup("<span>{}</span>").format(word) for word in command.split(" "))


def cell(text: Any) -> str:
    """Text escaped as one line of Markdown, also for a table."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))


def indented(text: str) -> str:
    """A block of code in Markdown."""
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
