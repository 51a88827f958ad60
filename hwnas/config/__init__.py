"""The run file: what to search, on what data, for which hardware, at what cost."""

from hwnas.config.run_config import DEFAULT_BACKEND, DEFAULT_TARGET, JOURNAL, RunConfig
from hwnas.config.run_file import config_of, load_config, parse_config, save_config
from hwnas.config.search_options import SearchOptions
from hwnas.config.sections import (
    AUTO,
    EstimatorSection,
    FidelitiesSection,
    FullRecipeSection,
    PrescreeningSection,
    ProtocolSection,
    RecipeSection,
    SearchSection,
)

__all__ = [
    "AUTO",
    "DEFAULT_BACKEND",
    "DEFAULT_TARGET",
    "JOURNAL",
    "EstimatorSection",
    "FidelitiesSection",
    "FullRecipeSection",
    "PrescreeningSection",
    "ProtocolSection",
    "RecipeSection",
    "RunConfig",
    "SearchOptions",
    "SearchSection",
    "config_of",
    "load_config",
    "parse_config",
    "save_config",
]
