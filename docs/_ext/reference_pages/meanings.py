"""What a setting of `run.yaml` means, wherever the code says so."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import entry_points

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hwnas.config.sections import FinalProtocolSection, FullRecipeSection, ProtocolSection, RecipeSection
from hwnas.config.template import TEMPLATE
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.projection import Normalisation
from hwnas.tasks.lidar_settings import KnnSection, NormalisationSection
from hwnas.training.recipe import Recipe
from reference_pages.markdown import code, prose
from reference_pages.types import section_in

BECOMES: dict[type, type] = {
    RecipeSection: Recipe,
    FullRecipeSection: Recipe,
    ProtocolSection: MeasuringProtocol,
    FinalProtocolSection: MeasuringProtocol,
    KnnSection: KnnSettings,
    NormalisationSection: Normalisation,
}
"""The class that a section becomes, and whose docstring says what the settings mean."""
OWN_WORDS = {
    "schema_version": "version of this format",
    "search.seed": "of everything that is drawn: proposals, initial weights, batches",
    "task.normalisation.mean": "of range, x, y, z and remission",
    "task.normalisation.std": "of the same",
}
"""What is said of a setting nowhere else."""


def meaning_of(path: str, model: type[BaseModel], field: FieldInfo) -> str:
    """Return what is said of a setting, in this order.

    Its own description; of a section, what that says first; names of plug-ins; the docstring of its section
    or of the class that this becomes; the comment beside it in what `hwnas init` writes; sentences of the
    section's docstring that name it.
    """
    name = path.rpartition(".")[2]
    nested = section_in(field.annotation)
    if field.description:
        return _sentence(field.description)
    if nested is not None:
        return _sentence(prose(nested.__doc__ or "").split("\n\n")[0])
    group = getattr(model, "group", None)
    if name == "name" and (group or path == "space.name"):
        return _installed(group or "hwnas.search_spaces")
    documented = _attributes(model) | _attributes(BECOMES.get(model, model))
    words = (
        documented.get(name)
        or _comments().get(path)
        or _sentences_about(name, model)
        or OWN_WORDS.get(path, "")
    )
    return _sentence(words)


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(";")
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")


def _installed(group: str) -> str:
    names = sorted(each.name for each in entry_points(group=group) if each.value.startswith("hwnas."))
    return f"Ours: {', '.join(map(code, names))}. Plug-ins add others."


def _attributes(target: type) -> dict[str, str]:
    """Return the descriptions under `Attributes:` of a docstring in Google form."""
    text = inspect.cleandoc(target.__doc__ or "").partition("Attributes:")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _comments() -> dict[str, str]:
    """Return the comments of the run file that `hwnas init` writes, by setting.

    A comment is on the line of a key and goes on in lines that hold nothing else; where there is none, it is
    the lines above the key.
    """
    found: dict[str, str] = {}
    keys: list[tuple[int, str]] = []
    above: list[str] = []
    current: str | None = None
    for line in TEMPLATE.splitlines():
        key = re.match(r"( *)(\w+):(?:[^#\"]|\"[^\"]*\")*(?:#\s*(.*))?$", line)
        remark = re.match(r"( *)#\s*(.*)$", line)
        if key:
            indent, name, comment = len(key[1]), key[2], key[3]
            keys = [each for each in keys if each[0] < indent] + [(indent, name)]
            path = ".".join(each for _, each in keys)
            words = comment or " ".join(above)
            if words:
                found[path] = words
            current, above = (path if comment else None), []
        elif remark and current and len(remark[1]) > 12:
            found[current] += f" {remark[2]}"
        elif remark:
            above.append(remark[2])
            current = None
        else:
            above, current = [], None
    return found


def _sentences_about(name: str, model: type[BaseModel]) -> str:
    """Return the sentences of a section's docstring in which a setting is named."""
    sentences = re.split(r"(?<=[.;]) (?=[A-Z`])", " ".join(inspect.cleandoc(model.__doc__ or "").split()))
    return " ".join(sentence for sentence in sentences if f"`{name}`" in sentence)
