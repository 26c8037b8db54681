"""Plugins: one file each, holding a frozen record under an agreed name; no list to keep."""

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

Plugin = TypeVar("Plugin")


def module_names(package: ModuleType) -> list[str]:
    """Return the names of every plugin of a package, sorted, without importing any."""
    return sorted(each.name for each in pkgutil.iter_modules(package.__path__))


def discover(package: ModuleType, attribute: str, of_type: type[Plugin]) -> dict[str, Plugin]:
    """Return every plugin of a package by name, sorted. A file without its record, or misnamed, is an error."""
    found: dict[str, Plugin] = {}
    for file_name in module_names(package):
        module = importlib.import_module(f"{package.__name__}.{file_name}")
        plugin = getattr(module, attribute, None)
        if not isinstance(plugin, of_type):
            raise TypeError(f"{module.__name__} must define {attribute} as a {of_type.__name__}")
        name = getattr(plugin, "name", None)
        if name != file_name:
            raise TypeError(f"{module.__name__} names its {attribute} {name!r}; it must be {file_name!r}")
        found[file_name] = plugin
    return found
