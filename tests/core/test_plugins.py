"""Plug-ins of other packages, and those that cannot be used; test_extending goes the whole way."""

from __future__ import annotations

import pytest

from seraser_core.config.formats import FORMATS, load_formats
from seraser_core.config.methods import MethodOptions, load_methods
from seraser_core.errors import ConfigError
from seraser_core.plugins import Fault, Group, resolve

_OPTIONS = """
from typing import ClassVar, Literal
from seraser_core.config.methods import MethodOptions

class {name}(MethodOptions):
    implementation: ClassVar[str] = "nowhere:Nothing"
    name: Literal["{method}"] = "{method}"
"""


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Put a distribution with entry points and modules on the path; return all methods then."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(
        distribution: str, points: dict[str, str], group: str = "seraser.methods", **modules: str
    ) -> Group[type[MethodOptions]]:
        facts = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n"
        )
        lines = [f"{name} = {value}" for name, value in points.items()]
        (facts / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        return load_methods()

    return put


def test_a_package_adds_a_method_behind_ours(offer):
    before = load_methods()
    group = offer(
        "their-methods",
        {"newer": "their_newer:Newer"},
        their_newer=_OPTIONS.format(name="Newer", method="newer"),
    )
    assert list(group.members) == [*before.members, "newer"]
    assert group.origins == before.origins | {"newer": "their-methods 1.5"}
    assert group.members["newer"]().id == "newer"
    assert not group.faults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "AttributeError"),
        ("Wrong = 3", "TypeError: 3 is no subclass of"),
        (_OPTIONS.format(name="Wrong", method="else"), 'the field name: Literal["wrong"]'),
        (
            _OPTIONS.format(name="Wrong", method="wrong").replace('= "nowhere:Nothing"', ""),
            "must say where its implementation is",
        ),
    ],
)
def test_what_cannot_be_used_is_told_to_those_who_use_it(offer, tmp_path, text, told):
    before = load_methods()
    module = f"their_{tmp_path.name}"  # another one every time
    group = offer("their-methods", {"wrong": f"{module}:Wrong"}, **{module: text})
    assert group.members == before.members
    fault = group.faults["wrong"]
    assert told in fault.problem
    assert f"wrong = {module}:Wrong of seraser.methods" in fault.problem
    assert fault.problem.startswith("their-methods 1.5 ")
    assert fault.remedy == "repair, update or uninstall their-methods"


def test_a_name_that_is_offered_twice_is_nobody_s(offer):
    offer(
        "one", {"twice": "their_one:Twice"}, their_one=_OPTIONS.format(name="Twice", method="twice")
    )
    group = offer("two", {"twice": "their_one:Twice", "tpt": "their_one:Twice"})
    assert not {"twice", "tpt"} & group.members.keys()
    assert "one 1.5 (" in group.faults["twice"].problem
    assert "two 1.5 (" in group.faults["twice"].problem
    assert "offered by seraser itself and by two 1.5 (" in group.faults["tpt"].problem
    assert group.faults["tpt"].remedy == "uninstall all of them but one"


def test_a_source_is_offered_as_a_format(offer):
    text = "from seraser_core.config.formats import Format\n"
    text += "ours = Format('nowhere:Nothing', 'a list', options=('label',))\n"
    text += "wrong = Format('nowhere:Nothing', 'a list', options=('labels',))\n"
    points = {name: f"their_format:{name}" for name in ("ours", "wrong")}
    offer("their-source", points, group="seraser.sources", their_format=text)
    group = load_formats()
    assert list(group.members) == [*FORMATS, "ours"]
    assert group.origins == {"ours": "their-source 1.5"}
    assert "wrong has options that no data set has: labels" in group.faults["wrong"].problem


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("no_such_module:Method", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("seraser_core.plugins:Nothing", "AttributeError"),
        ("seraser_core.plugins:Group", "is no subclass of seraser_core.plugins.Fault"),
    ],
)
def test_an_implementation_that_cannot_be_used_names_its_package(place, told):
    with pytest.raises(ConfigError) as raised:
        resolve(place, Fault, "methods.newer", "their-methods 1.5")
    assert raised.value.field == "methods.newer"
    assert told in str(raised.value.value)
    assert str(raised.value.value).startswith(f"{place} of their-methods 1.5 cannot be used: ")
    assert raised.value.remedy == "repair, update or uninstall their-methods"


def test_an_implementation_that_ends_the_process_is_one_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "their_exit.py").write_text("raise SystemExit(3)")
    with pytest.raises(ConfigError, match=r"(?s)their-methods 1\.5 cannot be used: SystemExit: 3"):
        resolve("their_exit:Method", Fault, "methods.newer", "their-methods 1.5")
