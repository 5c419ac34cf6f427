"""Put the sources and the project's files into a wheel; an editable build leaves them where they are."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class IncludeInWheels(BuildHookInterface[Any]):
    """Includes what the hook's `include` names, by its place in the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel. A copy in an environment would hide every change of the sources."""
        if version == "standard":
            build_data["force_include"].update(self.config["include"])
