"""What a template may do with its own, and that there is no way out of its sandbox."""

import dataclasses
import json
import pickle
from collections import namedtuple
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from pydantic import BaseModel, ConfigDict

from app.chatkit.widgets.budget import MAX_OUTPUT, MAX_STEPS
from app.chatkit.widgets.templates import WidgetTemplate
from tests.conformance.official_surface import official


def template_of(source: str) -> WidgetTemplate:
    return WidgetTemplate({"version": "1.0", "name": "test", "template": source})


def build(body: str, data: Any = None) -> Any:
    """Return what a template makes of ``out`` in the end."""
    source = body + '{{ {"type": "Card", "children": [], "out": out} | tojson }}'
    return template_of(source).build(data).model_dump()["out"]


class Line(BaseModel):
    """A model as the data of a template holds it."""

    model_config = ConfigDict(extra="allow")

    id: str
    tags: list[str] = []


# --- what is its own -----------------------------------------------------------------------------

BUILDING: dict[str, str] = {
    "a list in a namespace": (
        "{% set ns = namespace(rows=[]) %}{% for x in xs %}{% set _ = ns.rows.append({'x': x}) %}"
        "{% endfor %}{% set out = ns.rows %}"
    ),
    "a dict": (
        "{% set out = {} %}{% for x in xs %}{% set _ = out.update({x ~ '': x}) %}{% endfor %}"
        "{% set _ = out.setdefault('z', []).append(1) %}{% set _ = out.pop('1') %}"
    ),
    "the data": (
        "{% set _ = xs.append(4) %}{% set _ = xs.extend(xs | map('string') | list) %}"
        "{% set _ = xs.insert(0, xs.pop()) %}{% set _ = xs.reverse() %}{% set out = xs %}"
    ),
    "what is inside the data": (
        "{% set _ = deep.a[0].append('x') %}{% set _ = deep.a[0].sort() %}{% set out = deep %}"
    ),
    "a model in the data": "{% set _ = line.tags.append('x') %}{% set out = line.tags %}",
    "a loop in a macro": (
        "{% macro show(loop) %}{{ loop.index }}/{{ loop.length }}{% endmacro %}"
        "{% set out %}{% for x in xs %}{{ show(loop) }} {% endfor %}{% endset %}"
    ),
    "filters": (
        "{% set out = [xs | map('string') | join('-'), xs | batch(2) | list, xs | first,"
        " '%05d' | format(7), 'a' | center(5), xs | select('gt', 1) | list, 'x' * 3,"
        " '{:>4}|{}'.format(1, xs), xs | sum, xs == [1, 2, 3], 'a' ~ xs ~ none, 2 in xs,"
        " [3, 1] | sort, [{'k': 1}] | groupby('k') | length, 'ab' | replace('a', 'b')] %}"
    ),
    "recursion": (
        "{% set out %}{% for x in tree recursive %}{{ x.n }}"
        "{% if x.below %}({{ loop(x.below) }}){% endif %}{% endfor %}{% endset %}"
    ),
    "blocks and calls": (
        "{% macro box() %}[{{ caller() }}]{% endmacro %}"
        "{% set out %}{% call box() %}a{% endcall %}{% filter upper %}b{% endfilter %}{% endset %}"
    ),
}


def some_data() -> dict[str, Any]:
    return {
        "xs": [1, 2, 3],
        "deep": {"a": [["b", "a"]]},
        "line": Line(id="1", tags=["a"]),
        "tree": [{"n": 1, "below": [{"n": 2, "below": []}]}, {"n": 3, "below": []}],
    }


@pytest.mark.parametrize("body", BUILDING.values(), ids=BUILDING)
def test_template_builds_what_the_official_renderer_builds(body: str) -> None:
    source = body + '{{ {"type": "Basic", "out": out} | tojson }}'
    theirs = official("widgets").WidgetTemplate(
        {"version": "1.0", "name": "test", "template": source}
    )
    data, copy = some_data(), some_data()

    built = template_of(source).build(data).model_dump()

    assert built == json.loads(theirs.build(some_data()).model_dump_json(exclude_none=True))
    assert data == copy  # only its own copies were changed


class Foreign:
    """An object that is not copied: what it gives away is."""

    def __init__(self) -> None:
        self.rows = [1]

    def load(self) -> list[int]:
        return self.rows

    def __getitem__(self, name: str) -> list[int]:
        if name != "by_key":
            raise KeyError(name)
        return self.rows


@dataclasses.dataclass(frozen=True)
class Frozen:
    rows: list[int]


Pair = namedtuple("Pair", "rows name")


@pytest.mark.parametrize(
    "source",
    [
        "foreign.rows.append(2)",
        "foreign.load().append(2)",
        "foreign.by_key.append(2)",
        "foreign['rows'].append(2)",
        "frozen.rows.append(2)",
        "pair.rows.append(2)",
        "pair[0].append(2)",
        "line.tags.append('x')",
        "line.more.append('x')",
        "rows.append(2)",
        "numbers.add(2)",
        "twice[0].append(2)",
    ],
)
def test_data_stays_what_it_was_when_a_template_changes_it(source: str) -> None:
    rows = [1]
    line = Line(id="1", tags=["a"], more=["b"])  # type: ignore[call-arg]
    data = {
        "foreign": Foreign(),
        "frozen": Frozen([1]),
        "pair": Pair([1], "a"),
        "line": line,
        "rows": rows,
        "numbers": {1},
        "twice": [rows, rows],
    }
    assert build(f"{{% set _ = {source} %}}{{% set out = 1 %}}", data) == 1
    assert (data["foreign"].rows, data["frozen"].rows, data["pair"].rows) == ([1], [1], [1])  # type: ignore[attr-defined]
    assert (line.tags, line.model_extra, rows) == (["a"], {"more": ["b"]}, [1])
    assert data["numbers"] == {1}


def test_one_list_stays_one_when_it_is_in_the_data_twice() -> None:
    rows: list[Any] = [1]
    rows.append(rows)
    body = "{% set _ = a.append(2) %}{% set out = [b | length, a[1] is sameas a] %}"
    assert build(body, {"a": rows, "b": rows}) == [3, True]


def test_model_gives_its_fields_and_dumps_when_a_template_asks() -> None:
    body = "{% set out = [line.id, line.model_dump().id, line.more] %}"
    assert build(body, {"line": Line(id="1", more=2)}) == ["1", "1", 2]  # type: ignore[call-arg]


# --- no way out ----------------------------------------------------------------------------------


class Bomb:
    """Unpickling it is noticed."""

    exploded = False

    def __reduce__(self) -> Any:
        return (explode, ())


def explode() -> str:
    Bomb.exploded = True
    return "{}"


ESCAPES = [
    "''.__class__.__mro__",
    "''['__class__']",
    "'' | attr('__class__')",
    "[''] | map(attribute='__class__') | list",
    "['', 'a'] | sort(attribute='__class__') | list",
    "[''] | groupby('__class__.__mro__')",
    "cycler.__init__.__globals__",
    "lipsum.__globals__",
    "joiner.__init__",
    "namespace.__init__",
    "self.__init__",
    "dict.mro()",
    "'{0.__class__}'.format(values)",
    "'{a.__class__}'.format_map({'a': values})",
    "('{0.__class__}' | attr('format'))(values)",
    "line.__class__.model_fields",
    "line.model_construct",
    "line.model_validate_json('{}')",
    "line.parse_file('/etc/passwd')",
    "line.parse_raw(bomb, allow_pickle=True, proto='pickle')",
    "line.__class__.parse_raw(bomb, allow_pickle=True, proto='pickle')",
    "kind.parse_raw(bomb, allow_pickle=True, proto='pickle')",
    "path.read_text()",
    "path.parent.joinpath('passwd').read_text()",
    "file.read()",
    "module.dumps",
    "function.__globals__",
    "function.__code__",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_template_is_refused_when_it_looks_for_a_way_out(source: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("secret")
    with path.open() as file:
        data = {
            "values": [],
            "line": Line(id="1"),
            "kind": Line,
            "bomb": pickle.dumps(Bomb()),
            "path": path,
            "file": file,
            "module": json,
            "function": build,
        }
        with pytest.raises(TemplateError):
            build(f"{{% set out = {source} %}}", data)
    assert not Bomb.exploded


# --- no end --------------------------------------------------------------------------------------

DOUBLING = "{% set ns = namespace(x=['a'], y=['a'], s='a', n=3) %}{% for i in range(60) %}"
TWINS = DOUBLING + "{% set ns.x = [ns.x, ns.x] %}"
NESTING = "{% set ns = namespace(x=('a',)) %}{% for i in range(20000) %}{% set ns.x = (ns.x,) %}"
LONG = "{% set s = 'x' * 999999 %}{% set xs = range(90000) | list %}"
ENDLESS: dict[str, str] = {
    "loops in loops": "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
    "a list that grows while it is read": (
        "{% for x in xs %}{% set _ = xs.append(x) %}{% endfor %}"
    ),
    "the same in its condition": "{% for x in xs if xs.append(x) %}{% endfor %}",
    "a generator without end": "{% for x in numbers %}{% endfor %}",
    "the same in a filter": "{% set _ = numbers | list | length %}",
    "the same in a method": "{% set _ = xs.extend(numbers) %}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a block that shows itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "a loop that goes down for ever": ("{% for x in xs recursive %}{{ loop([x]) }}{% endfor %}"),
    "macros in macros": (
        "{% macro a() %}{% endmacro %}{% macro b() %}{% for i in range(999) %}{{ a() }}{% endfor %}"
        "{% endmacro %}{% for i in range(999) %}{{ b() }}{% endfor %}"
    ),
    "looking through a text": LONG + "{% for i in xs %}{% set _ = 'yx' in s %}{% endfor %}",
    "looking through a list": LONG + "{% for i in xs %}{% set _ = -1 in xs %}{% endfor %}",
    "sorting": LONG + "{% for i in xs %}{% set _ = xs | sort %}{% endfor %}",
    "copying": LONG + "{% for i in xs %}{% set _ = s[1:] %}{% endfor %}",
    "slow patterns": "{{ (')' * 999999 ~ 'a') | urlize }}",
    "slow tags": "{{ ('<a>' * 300000) | striptags }}",
    "slow codecs": "{{ ('ü' * 99999).encode('punycode') }}",
    "powers": "{{ 10 ** 99999 }}",
    "growing numbers": DOUBLING + "{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "rounding": "{{ 5 | round(-1000000000) }}",
    "nested twins in JSON": DOUBLING
    + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    "nested twins as text": DOUBLING + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "nested twins joined": DOUBLING + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}",
    "nested twins compared": (
        DOUBLING
        + "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}"
    ),
    "nested twins as a key": (
        DOUBLING + "{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}"
    ),
    "a deep key": NESTING + "{% endfor %}{{ {ns.x: 1} }}",
    "a deep key that is looked for": NESTING + "{% endfor %}{{ {}[ns.x] }}",
    "a deep key in a method": NESTING + "{% endfor %}{{ {}.get(ns.x) }}",
    "deep JSON": NESTING + "{% endfor %}{{ ns.x | tojson }}",
}

HUGE: dict[str, str] = {
    "a text repeated": "{{ 'x' * 1000000000 }}",
    "a list repeated": "{{ xs * 1000000000 }}",
    "a text that doubles": DOUBLING + "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "a text that is added": DOUBLING + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "a list that doubles": DOUBLING + "{% set _ = ns.x.extend(ns.x) %}{% endfor %}",
    "a list that grows by itself": DOUBLING
    + "{% set _ = ns.x.extend(ns.x | batch(1)) %}{% endfor %}",
    "a filter that pads": "{{ 'x' | center(1000000000) }}",
    "methods that pad": "{{ 'x'.ljust(1000000000) }}",
    "tabs": "{{ '\t'.expandtabs(1000000000) }}",
    "bytes": "{{ (1).to_bytes(1000000000, 'big') }}",
    "a format": "{{ '{:1000000000}'.format(1) }}",
    "a nested format": "{{ '{:{}}'.format(1, 1000000000) }}",
    "a percent sign": "{{ '%1000000000d' % 1 }}",
    "a percent sign with a star": "{{ '%*d' % (1000000000, 1) }}",
    "a percent filter": "{{ '%.1000000000f' | format(1.5) }}",
    "an indent": "{{ ('\n' * 9999) | indent(9999) }}",
    "wrapping": "{{ ('x ' * 20000) | wordwrap(1, wrapstring='y' * 99999) }}",
    "a batch": "{{ [1] | batch(1000000000, 'x') }}",
    "slices": "{{ [1] | slice(1000000000) }}",
    "replacing": "{{ ('x' * 99999) | replace('x', 'y' * 99999) }}",
    "replacing nothing": "{{ ('x' * 99999).replace('', 'y' * 99999) }}",
    "translating": "{{ ('x' * 99999).translate({120: 'y' * 99999}) }}",
    "joining": "{{ (['a'] * 9999) | join('y' * 9999) }}",
    "joining characters": "{{ ('a' * 9999) | join('y' * 9999) }}",
    "joining by method": "{{ ('y' * 9999).join(['a'] * 9999) }}",
    "summing lists": "{{ ([[1] * 9999] * 9999) | sum(start=[]) }}",
    "lorem ipsum": "{{ lipsum(n=100000) }}",
    "a long lorem ipsum": "{{ lipsum(100, True, 20, 1000000) }}",
    "spread JSON": "{{ ([[1]] * 999) | tojson(indent=1000000) }}",
    "hoarding": "{% for i in range(9999) %}{% set _ = xs.append('x' * 999999) %}{% endfor %}",
    "output": "{% for i in range(99999) %}" + "x" * 20 + "{% endfor %}",
    "output of a variable": "{% set s = 'x' * 9999 %}{% for i in range(999) %}{{ s }}{% endfor %}",
    "output into a variable": (
        "{% set b %}{% for i in range(999) %}{{ 'x' * 99999 }}{% endfor %}{% endset %}"
    ),
    "text into a variable": (
        "{% set b %}{% for i in range(9999) %}" + "x" * 9999 + "{% endfor %}{% endset %}"
    ),
    "a date's format": "{{ now.strftime('%A' * 333333) }}",
}


@pytest.mark.parametrize("source", [*ENDLESS.values(), *HUGE.values()], ids=[*ENDLESS, *HUGE])
def test_template_is_refused_when_it_does_not_end_or_grows_without_end(source: str) -> None:
    data = {"xs": [1, 2, 3], "numbers": count(), "now": date(2026, 1, 1)}
    with pytest.raises(SecurityError, match="the template"):
        template_of(source).build(data)


def test_template_is_refused_when_its_expressions_are_nested_too_deep() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        template_of("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")


def test_large_widget_is_built_when_it_is_within_bounds() -> None:
    row = '{"type": "ListViewItem", "key": "{{ i }}", "children": [{"type": "Text", "value": "a"}]}'
    source = (
        '{"type": "ListView", "children": [{% for i in range(5000) %}'
        + row
        + "{% if not loop.last %},{% endif %}{% endfor %}]}"
    )
    widget = template_of(source).build()
    assert len(widget.children) == 5000  # type: ignore[arg-type]


def test_bounds_are_those_of_one_rendering_when_a_template_is_used_again() -> None:
    steps = MAX_STEPS // 2 + 1
    template = template_of(
        f'{{% for i in range({steps}) %}}{{% endfor %}}{{"type": "Basic", "x": "{{{{ s }}}}"}}'
    )
    for _ in range(3):
        template.build({"s": "x" * (MAX_OUTPUT // 2)})
