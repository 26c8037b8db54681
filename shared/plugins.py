"""Plugins: one file each, holding a frozen record under an agreed name; no list to keep."""

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

Plugin = TypeVar("Plugin")


def discover(package: ModuleType, attribute: str, of_type: type[Plugin]) -> dict[str, Plugin]:
    """Return every plugin of a package by name, sorted. A file without its record, or misnamed, is an error."""
    found: dict[str, Plugin] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        plugin = getattr(module, attribute, None)
        if not isinstance(plugin, of_type):
            raise TypeError(f"{module.__name__} must define {attribute} as a {of_type.__name__}")
        name = getattr(plugin, "name", None)
        if name != module_info.name:
            raise TypeError(
                f"{module.__name__} names its {attribute} {name!r}; it must be {module_info.name!r}"
            )
        found[module_info.name] = plugin
    return found
