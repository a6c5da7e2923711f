"""The report as one HTML page without outside parts; needs jinja2, of the extra [report]."""

from pathlib import Path

from lowres.doctor.report import Report
from lowres.errors import UserError
from lowres.files import write_text

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.target }}: {{ report.headline }}</title>
<style>
:root { color-scheme: light dark; --soft: color-mix(in srgb, currentColor 12%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 0 0 .3rem; }
section { border-left: .3rem solid var(--soft); padding: .3rem 0 .3rem 1rem; margin: 1.2rem 0; }
section.error { border-color: #c62828; } section.warning { border-color: #ef8f00; }
section.note { border-color: #2b7a9b; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; border-radius: .3rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .1rem .8rem .1rem 0; vertical-align: top; }
.points { float: right; font-variant-numeric: tabular-nums; } .soft { opacity: .7; }
</style>
</head>
<body>
<h1>{{ report.target }}</h1>
<p>{{ report.headline }}</p>
{% if report.traceback %}<pre>{{ report.traceback }}</pre>{% endif %}
{% for one in report.findings %}
<section class="{{ one.grade }}">
<h2><span class="points">{{ "%.3g"|format(one.cost) }} points</span>{{ one.code }} {{ one.title }}</h2>
<div class="soft">{{ one.grade }}{% if one.place %}, <code>{{ one.place.path }}:{{ one.place.line }}</code>{% endif %};
cost: {{ one.source }}</div>
<table>{% for name, value in one.evidence.items() %}
<tr><th>{{ name.replace("_", " ") }}</th>
<td>{{ value.items()|map("join", " ")|join(", ") if value is mapping else value }}</td></tr>
{% endfor %}</table>
{% if one.fix %}<p>{{ one.fix.title }}</p><pre>{{ one.fix.diff or one.fix.code }}</pre>{% endif %}
</section>
{% endfor %}
{% if report.notes %}<h2>Not seen</h2><ul>{% for note in report.notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
</body>
</html>
"""


def write_html(path: Path, report: Report) -> None:
    """Writes the page.

    Raises:
        UserError: jinja2 is not installed.
    """
    write_text(path, to_html(report))


def to_html(report: Report) -> str:
    """The page as text; whatever the report quotes is escaped."""
    try:
        import jinja2
    except ImportError:
        raise UserError("--html needs jinja2: pip install jinja2") from None
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(report=report)
