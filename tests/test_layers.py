"""Who may import whom. A module imports only from strictly lower rows, so cycles are impossible."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Row of each module, lowest first; a longer name wins over its package's. Contracts rank above their members.
ROWS = [
    {"subscriber.errors"},
    {"subscriber.model"},
    {"subscriber.platforms.api", "subscriber.platforms.content"},
    {
        "subscriber.platforms.smartrest.realtime",
        "subscriber.platforms.cumulocity_api",
        "subscriber.platforms.pelion.callback",
        "subscriber.platforms.pelion.rules",
    },
    {
        "subscriber.settings",
        "subscriber.access",
        "subscriber.keys",
        "subscriber.transport",
        "subscriber.metrics",
        "subscriber.platforms.mindsphere",
        "subscriber.platforms.mindsphere_api",
        "subscriber.platforms.pelion_api",
        "subscriber.exclusive",
        "subscriber.lifeline",
        "subscriber.logs",
    },
    {
        "subscriber.tokens",
        "subscriber.token_manager",
        "subscriber.tunnel",
        "subscriber.platforms",
        "subscriber.store",
    },
    {
        "subscriber.store.sqlite",
        "subscriber.store.postgres",
        "subscriber.routes",
        "subscriber.intake",
        "subscriber.people",
        "subscriber.rereading",
        "subscriber.registration",
        "subscriber.credentials",
        "subscriber.certificates",
    },
    {
        "subscriber.dispatcher",
        "subscriber.handlers",
        "subscriber.sinks",
        "subscriber.platform_client",
        "subscriber.provisioning",
        "subscriber.callbacks",
        "subscriber.channels",
    },
    {
        "subscriber.web.answers",
        "subscriber.web.clients",
        "subscriber.web.correlation",
        "subscriber.web.reading",
        "subscriber.supervisor",
        "subscriber.cumulocity",
        "subscriber.pelion",
    },
    {"subscriber.web.deferral", "subscriber.registrars"},
    {"subscriber.web.live"},
    {"subscriber.web.webhooks", "subscriber.web.ops", "subscriber.web.api", "subscriber.web.server"},
    {"subscriber.web.console", "subscriber.web.door"},
    {"subscriber.web", "subscriber.services"},
    {"subscriber.cli", "app", "gunicorn.conf"},
    {"subscriber.__main__"},
]

# Third-party packages and the only places that may import them.
HOMES = {
    "flask": ("subscriber.web", "app"),
    "werkzeug": ("subscriber.web",),
    "jinja2": ("subscriber.web.console",),
    "markupsafe": ("subscriber.web",),
    "gunicorn": ("subscriber.web.server", "gunicorn.conf"),
    "jwt": ("subscriber.tokens", "subscriber.keys", "emulator"),
    "cryptography": (
        "subscriber.tokens",
        "subscriber.keys",
        "subscriber.certificates",
        "subscriber.web.clients",
        "subscriber.web.api.places",
        "emulator",
    ),
    "requests": ("subscriber.transport", "subscriber.keys", "subscriber.sinks", "subscriber.channels.outbound"),
    "urllib3": ("subscriber.transport", "subscriber.keys", "subscriber.sinks"),
    "aiohttp": ("emulator", "subscriber.channels"),
    "sqlite_utils": ("migrations",),
    "pysqlite3": ("subscriber.store.sqlite", "migrations"),
    "sqlite3": ("subscriber.store.sqlite", "migrations", "emulator"),
    "psycopg": ("subscriber.store.postgres", "migrations"),
    "psycopg_pool": ("subscriber.store.postgres",),
    "click": ("subscriber.cli", "subscriber.__main__", "emulator"),
    "rich": ("subscriber.cli", "emulator"),
    "prometheus_client": ("subscriber.metrics", "gunicorn.conf"),
    "cloudevents": ("subscriber.sinks",),
    "standardwebhooks": ("subscriber.sinks",),
    "pika": ("subscriber.sinks",),
    "orjson": ("subscriber", "emulator"),
}
PURE = ("subscriber.errors", "subscriber.model", "subscriber.access", "subscriber.platforms")
IMPURE = {"time", "socket", "requests", "http", "os", "threading", "subprocess", "random", "sqlite3"}


def modules() -> dict[str, Path]:
    files = [*ROOT.glob("subscriber/**/*.py"), *ROOT.glob("emulator/**/*.py"), *ROOT.glob("migrations/**/*.py")]
    files += [ROOT / "app.py", ROOT / "gunicorn.conf.py"]
    names = {}
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path) -> set[str]:
    """Every module imported anywhere in the file, except for type checking only."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    only_types = {id(child) for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def owner(name: str, table: set[str]) -> str | None:
    """The longest entry of the table that the name is or lies below."""
    parts = name.split(".")
    candidates = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((candidate for candidate in candidates if candidate in table), None)


ALL = modules()
RANKED = {name: rank for rank, row in enumerate(ROWS) for name in row}
OURS = {name: path for name, path in ALL.items() if name.split(".")[0] in ("subscriber", "app", "gunicorn")}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_module_imports_only_from_lower_rows(name: str) -> None:
    if name == "subscriber":
        return
    home = owner(name, set(RANKED))
    assert home, f"{name} has no row: place it in ROWS"
    for imported in imports(OURS[name]):
        target = owner(imported, set(ALL))
        target_home = target and owner(target, set(RANKED))
        if target_home and target_home != home and not (home in LATE and target_home in LATE[home]):
            assert RANKED[target_home] < RANKED[home], f"{name} imports {imported}, which is not lower"


# `open_store` imports its back end when called: the contract must not load a driver nobody uses.
LATE = {"subscriber.store": {"subscriber.store.sqlite", "subscriber.store.postgres"}}


@pytest.mark.parametrize("name", sorted(ALL))
def test_third_party_packages_stay_in_their_place(name: str) -> None:
    for imported in imports(ALL[name]):
        package = imported.split(".")[0]
        if package in sys.stdlib_module_names and package not in HOMES:
            continue
        if package in ("subscriber", "emulator", "migrations", "app", "__future__"):
            continue
        homes = HOMES.get(package, ())
        assert any(name == home or name.startswith(home + ".") for home in homes), f"{name} may not import {package}"


@pytest.mark.parametrize("name", sorted(name for name in ALL if name.startswith(PURE)))
def test_pure_modules_touch_nothing(name: str) -> None:
    assert not {imported.split(".")[0] for imported in imports(ALL[name])} & IMPURE


def test_the_emulator_and_the_subscriber_never_meet() -> None:
    for name, path in ALL.items():
        tops = {imported.split(".")[0] for imported in imports(path)}
        if name.startswith("emulator"):
            assert not tops & {"subscriber", "migrations"}, name
        if name.startswith("subscriber"):
            assert "emulator" not in tops, name
        if name.startswith("migrations") or name.startswith("subscriber") and name != "subscriber.cli":
            assert not tops & ({"subscriber", "migrations"} - {name.split(".")[0]}), name


@pytest.mark.parametrize("name", sorted(name for name in ALL if name.startswith("subscriber")))
def test_only_the_edges_read_the_environment(name: str) -> None:
    if name in ("subscriber.cli", "subscriber.supervisor"):
        return
    source = ALL[name].read_text()
    assert "os.environ" not in source and "getenv" not in source, f"{name} reads the environment"


@pytest.mark.parametrize("name", sorted(name for name in OURS if name not in ("subscriber", "app", "gunicorn.conf")))
def test_every_module_has_its_mirrored_test_file(name: str) -> None:
    parts = name.split(".")[1:]
    if parts[-1] == "__main__":
        return
    folder = OURS[name].name == "__init__.py"
    candidates = [ROOT.joinpath("tests", *parts[:-1], f"test_{parts[-1]}.py")]
    if folder:
        candidates.append(ROOT.joinpath("tests", *parts))
    assert any(candidate.exists() for candidate in candidates), f"{name} has no test: {candidates[0]}"
