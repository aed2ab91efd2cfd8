"""Jars from Maven, fetched once into the cache folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services import require, require_program

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>services</groupId><artifactId>{name}</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""


@dataclass(frozen=True)
class Jar:
    """An artifact, and the groups that are not to come with it (`*`: it comes alone)."""

    group: str
    name: str
    version: str
    without: tuple[str, ...] = ()

    def xml(self) -> str:
        """Return it as a dependency of a pom."""
        left = "".join(
            f"<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>" for group in self.without
        )
        return (
            f"<dependency><groupId>{self.group}</groupId><artifactId>{self.name}</artifactId>"
            f"<version>{self.version}</version><exclusions>{left}</exclusions></dependency>"
        )


def fetch(folder: Path, what: str, jars: Sequence[Jar]) -> Path:
    """Fetch `jars` and all they need into `folder`/jars, or end the test as `require` does."""
    pom = POM.format(name=folder.name, dependencies="".join(jar.xml() for jar in jars))
    (folder / "pom.xml").write_text(pom)
    _maven(folder, what, "dependency:copy-dependencies", "-DoutputDirectory=jars")
    return folder / "jars"


def fetch_one(folder: Path, what: str, artifact: str) -> Path:
    """Fetch one file, `group:name:version:kind:classifier`, into `folder` and return it."""
    _maven(folder, what, "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
    _, name, version, kind, *classifier = artifact.split(":")
    return folder / ("-".join((name, version, *classifier)) + f".{kind}")


def _maven(folder: Path, what: str, goal: str, *options: str) -> None:
    maven = require_program("mvn")
    fetched = subprocess.run(
        [maven, "-q", "-B", goal, *options], cwd=folder, capture_output=True, text=True, check=False
    )
    require(what, fetched.returncode == 0, f"its jars could not be fetched: {fetched.stdout[-300:]}")
