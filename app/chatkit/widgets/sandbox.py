"""The environment that templates of widgets are rendered in.

It takes what the official renderer takes: a template may build lists, dicts and namespaces, on its
own copies of the data. And it is a sandbox, since a template may come from an editor and not from
the team's own hands: no way out to Python, no loop without end, no output without bounds.
"""

import io
import json
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, cast

from jinja2 import StrictUndefined, Template, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from app.chatkit.widgets.budget import CURRENT, MAX_OUTPUT, Budget, budget, refuse_above
from app.chatkit.widgets.growth import check_call, check_filter, check_format, check_operation
from app.chatkit.widgets.own_copies import MUTABLE, is_own, own_copy

# Filters that only the compiled template can name.
_SPEND, _CONCAT, _MEASURED = "spend()", "concat()", "measured()"

_MODEL_METHODS = frozenset({"model_dump", "model_dump_json", "dict", "json"})
_CHEAP_FILTERS = frozenset({"length", "count", "first", "last", "default", "d", "attr", _SPEND})
"""Filters that do not look into what they are given."""
_STORING = frozenset({"append", "insert", "extend"})
"""Methods of lists that do not look into what they are given."""
_COMPARING_TESTS = ("eq", "equalto", "==", "ne", "!=", "in", "lt", "<", "le", "<=", "gt", ">")

Filter = Callable[..., Any]


class BoundedTemplate(Template):
    """A template whose rendering is bounded, and works on copies of its data."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        """Return the rendered text; raises ``SecurityError`` for what a template must not do."""
        bounds = Budget()
        token = CURRENT.set(bounds)
        try:
            context = self.new_context(own_copy(dict(*args, **kwargs)))
            pieces: list[str] = []
            length = 0
            for piece in self.root_render_func(context):
                length += len(piece)
                refuse_above(MAX_OUTPUT, length)
                pieces.append(piece)
            return "".join(pieces)
        except RecursionError as error:
            raise SecurityError("the template calls itself without end") from error
        except Exception:
            self.environment.handle_exception()
        finally:
            CURRENT.reset(token)


class BoundedEnvironment(SandboxedEnvironment):
    """A sandbox that counts what a template does, and lets it change what is its own."""

    template_class = BoundedTemplate
    intercepted_binops = frozenset(SandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=_write)
        self.policies["json.dumps_function"] = dump_json
        self.filters = {name: _bounded(name, each) for name, each in self.filters.items()}
        self.filters |= {_SPEND: _spend, _CONCAT: _concat, _MEASURED: _measured}
        tests: dict[str, Filter] = self.tests
        self.tests = {**tests, **{name: _measured_test(tests[name]) for name in _COMPARING_TESTS}}

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        return super()._generate(_Counting().visit(source), name, filename, defer_init)

    # --- what a template may reach ---------------------------------------------------------------

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may see an attribute."""
        if isinstance(obj, ModuleType):
            return False
        if isinstance(obj, os.PathLike | io.IOBase) and callable(value):
            return False
        if _is_model(obj) and hasattr(BaseModel, attr) and attr not in _MODEL_METHODS:
            # Among the methods of every model are some that read files and unpickle.
            return isinstance(obj, BaseModel) and attr in {
                **obj.__dict__,
                **(obj.model_extra or {}),
            }
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute, of an object that was not copied as a copy."""
        return _owned(super().getattr(obj, attribute), obj)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an element, or an attribute."""
        if isinstance(argument, tuple):
            budget().measure(cast("object", argument))
        return _owned(super().getitem(obj, cast("Any", argument)), obj)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a bounded ``str.format``, if ``value`` is that."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            check_format(value.__self__, (*args, *kwargs.values()))
            return budget().take(wrapped(*args, **kwargs))

        return bounded

    # --- what it does ----------------------------------------------------------------------------

    # The double underscores keep these names apart from those of the keywords that are passed on.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls."""
        bounds = budget()
        bounds.spend()
        owner = getattr(__obj, "__self__", None)
        # A method that changes a list must not walk through that list meanwhile.
        given = tuple(map(_walked, args)) if isinstance(owner, (*MUTABLE, str)) else args
        name = getattr(__obj, "__name__", "")
        if not (isinstance(owner, list) and name in _STORING):
            bounds.measure_nested(*given, *kwargs.values())
        check_call(name, owner, (*given, *kwargs.values()))
        result = super().call(__context, __obj, *given, **kwargs)
        if isinstance(owner, MUTABLE):
            bounds.take(owner)
        return bounds.take(_owned(result, owner) if owner is not None else result)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Carry out an arithmetic operation."""
        bounds = budget()
        bounds.spend()
        check_operation(operator, left, right)
        return bounds.take(super().call_binop(context, operator, left, right))


class _Counting(NodeTransformer):
    """Has every body of a loop or macro counted, and what no hook of the sandbox sees."""

    def visit_body(self, node: Any) -> nodes.Node:
        """Count each time that what may be repeated is carried out."""
        self.generic_visit(node)
        node.body = [_spending(node.body), *node.body]
        return node

    visit_For = visit_Macro = visit_CallBlock = visit_Block = visit_body

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        """Have a text measured as it grows."""
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), _CONCAT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        """Have what is compared measured: nested lists may be larger than they look."""
        self.generic_visit(node)
        node.expr = _filter(node.expr, _MEASURED)
        for each in node.ops:
            each.expr = _filter(each.expr, _MEASURED)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:
        """Have a key measured, which is hashed."""
        self.generic_visit(node)
        node.key = _filter(node.key, _MEASURED)
        return node


def _spending(body: list[nodes.Node]) -> nodes.Node:
    """Return a statement that counts a pass through a body, and the text that it writes."""
    texts = [each for part in body for each in (part, *part.find_all(nodes.TemplateData))]
    length = sum(len(each.data) for each in texts if isinstance(each, nodes.TemplateData))
    lineno = body[0].lineno if body else 1
    return nodes.ExprStmt(_filter(nodes.Const(length, lineno=lineno), _SPEND), lineno=lineno)


def _filter(node: nodes.Expr, name: str) -> nodes.Expr:
    if isinstance(node, nodes.Const) and name == _MEASURED:
        return node
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


# --- filters and functions: they get the context, so that nothing is worked out in advance --------


@pass_context
def _write(_: Context, value: object) -> str:
    """Return what an expression writes."""
    bounds = budget()
    bounds.measure_nested(value)
    text = value if isinstance(value, str) else str(value)
    bounds.write(len(text))
    return text


@pass_context
def _spend(_: Context, length: int) -> None:
    bounds = budget()
    bounds.spend()
    bounds.write(length)


@pass_context
def _concat(_: Context, values: list[Any]) -> str:
    bounds = budget()
    bounds.spend()
    bounds.measure_nested(*values)
    return bounds.take("".join(map(str, values)))


@pass_context
def _measured(_: Context, value: Any) -> Any:
    budget().measure_nested(value)
    return value


def _measured_test(test: Filter) -> Filter:
    def run(value: Any, *args: Any) -> Any:
        bounds = budget()
        bounds.spend()
        bounds.measure_nested(value, *args)
        return test(value, *args)

    return run


def _bounded(name: str, function: Filter) -> Filter:
    """Return a filter that is counted, and that does not put off its work."""
    wanted = getattr(function, "jinja_pass_arg", None)
    kind = getattr(wanted, "name", None)

    @pass_context
    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        bounds = budget()
        bounds.spend()
        value = _collected(value)
        if name not in _CHEAP_FILTERS:
            bounds.measure(value, *args, *kwargs.values())
            check_filter(name, value, (*args, *kwargs.values()))
        first = {
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }.get(str(kind), ())
        return bounds.take(_collected(function(*first, value, *args, **kwargs)))

    return run


def _collected(value: Any) -> Any:
    """Return the result of a filter, which may put off its work, with the work done."""
    return value if isinstance(value, LoopContext) else _walked(value)


def _walked(value: Any) -> Any:
    """Return what an iterator yields, as a list."""
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
        return budget().collect(cast("Iterator[Any]", value))
    return value


def _owned(value: Any, obj: Any) -> Any:
    if isinstance(value, MUTABLE) and not (is_own(obj) or isinstance(obj, Namespace | LoopContext)):
        return own_copy(value)
    return cast("Any", value)


# --- JSON ----------------------------------------------------------------------------------------


def dump_json(value: Any, **options: Any) -> str:
    """Return JSON, as ``tojson`` writes it, also for models and times."""
    return json.dumps(value, default=_to_jsonable, **options)


def _to_jsonable(value: object) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises the error that names the variable
    return to_jsonable_python(value)


def _is_model(obj: Any) -> bool:
    return isinstance(obj, BaseModel) or (isinstance(obj, type) and issubclass(obj, BaseModel))
