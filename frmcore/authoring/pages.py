"""Descriptions as text, Markdown and HTML."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.authoring.describe import Description

_MARKS: Final = re.compile(r"([\\`*_\[\]<>#|])")
_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;"
    "padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin:1.5rem 0 0}p{margin:.3rem 0}"
)


def as_text(found: Description) -> str:
    lines = [found.title, *found.introduction]
    for rule in found.rules:
        lines += ["", rule.id, f"    {rule.says}", *(f"      - {each}" for each in rule.conditions)]
        lines += [f"    {sentence}" for sentence in rule.more]
    return "\n".join(lines) + "\n"


def as_markdown(found: Description) -> str:
    lines = [f"# {_marked(found.title)}", "", *(f"{_marked(line)}  " for line in found.introduction)]
    for rule in found.rules:
        lines += ["", f"## {_marked(rule.id)}", "", _marked(rule.says), ""]
        lines += [f"- {_marked(each)}" for each in rule.conditions] + [""] * bool(rule.conditions)
        lines += [" ".join(map(_marked, rule.more))] if rule.more else []
    return "\n".join(lines) + "\n"


def _marked(text: str) -> str:
    """No character of a policy is Markdown."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def as_html(found: Description) -> str:
    """One page without scripts and without anything from elsewhere."""
    title = escape(found.title)
    lines = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>",
        *(f"<p>{escape(line)}</p>" for line in found.introduction),
    ]
    for rule in found.rules:
        lines.append(f'<h2 id="{escape(rule.id)}">{escape(rule.id)}</h2>')
        lines.append(f"<p>{escape(rule.says)}</p>")
        if rule.conditions:
            lines += ["<ul>", *(f"<li>{escape(each)}</li>" for each in rule.conditions), "</ul>"]
        lines += [f"<p>{escape(sentence)}</p>" for sentence in rule.more]
    return "\n".join(lines) + "\n</html>\n"


PAGES: Final[dict[str, Callable[[Description], str]]] = {"text": as_text, "markdown": as_markdown, "html": as_html}
