"""Settings of the task `lidar-segmentation`, as they stand in `run.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hwnas.data.datasets.subsets import Subset
from hwnas.errors import ConfigError
from hwnas.range_view.projection_spec import MAX_HEIGHT, MAX_WIDTH, MIN_HEIGHT, MIN_WIDTH
from hwnas.yaml_files.schema_problems import problems_of

Width = Annotated[int, Field(ge=MIN_WIDTH, le=MAX_WIDTH)]
Channels = Annotated[list[float], Field(min_length=5, max_length=5)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sector = Annotated[list[Annotated[float, Field(ge=-180, le=180)]], Field(min_length=2, max_length=2)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProjectionSection(_Section):
    """How points become an image, see `ProjectionSpec`; what is null follows from sensor and data.

    Attributes:
        method: null means `ring`, and `spherical` for sensors whose pattern never repeats.
        fov_up_deg: elevation of the upper edge; null means that of the sensor's table, or of the data.
        fov_down_deg: elevation of the lower edge, likewise; state both or neither.
        beams_deg: elevation of the beam of each row, top first; null means as measured in the training split,
            or else as in the sensor's table.
    """

    method: Literal["ring", "spherical"] | None = None
    fov_up_deg: Finite | None = None
    fov_down_deg: Finite | None = None
    beams_deg: list[Finite] | None = None


class KnnSection(_Section):
    """How pixels give their labels to points, see `hwnas.range_view.knn.KnnSettings`."""

    k: Annotated[int, Field(ge=1)] = 5
    window: Annotated[int, Field(ge=1)] = 5
    sigma: Positive = 1.0
    cutoff_m: Positive = 1.0


class NormalisationSection(_Section):
    """Mean and standard deviation of range, x, y, z in metres and remission in 0..1."""

    mean: Channels
    std: Annotated[list[Positive], Field(min_length=5, max_length=5)]


class SubsetSection(_Section):
    """What a split is restricted to, see `hwnas.data.datasets.subsets.Subset`.

    Attributes:
        scans: ids of its scans, `sequence/name`, in place of those of whole sequences; null leaves them.
        azimuths_deg: sectors `[from, to]`, degrees counter-clockwise from x, whose points keep their labels;
            null leaves all.
    """

    scans: Annotated[list[str], Field(min_length=1)] | None = None
    azimuths_deg: Annotated[list[Sector], Field(min_length=1)] | None = None

    @field_validator("azimuths_deg")
    @classmethod
    def _growing(cls, sectors: list[list[float]] | None) -> list[list[float]] | None:
        for start, end in sectors or ():
            if not start < end:
                raise ValueError(
                    f"the sector [{start:g}, {end:g}] holds nothing; give the smaller azimuth first, and "
                    "divide a sector that goes over 180 degrees into two"
                )
        return sectors

    @property
    def subset(self) -> Subset:
        """The same for a data set."""
        sectors = (
            None if self.azimuths_deg is None else tuple((pair[0], pair[1]) for pair in self.azimuths_deg)
        )
        return Subset(None if self.scans is None else tuple(self.scans), sectors)


class LidarSettings(_Section):
    """Data and pre- and post-processing of LiDAR segmentation in range view.

    Attributes:
        data: SemanticKITTI directory, directory with a `dataset.yaml`, or a `dataset.yaml`.
        pretraining_data: labelled scans like `data` that a training may begin with, see
            `Recipe.pretraining_steps` and `pretraining_share`; null means none.
        label_map: name or path; null means the data set's own.
        train_sequences: sequences to train on; null means the data set's.
        val_sequences: sequences to validate on; null means the data set's.
        train_subset: some scans, or directions, that training is restricted to; null means all of the split.
        val_subset: the same of validation.
        strict: refuse points that are NaN or infinite instead of dropping them.
        height: rows of the image; null means one for each beam of the sensor.
        widths: columns of the image that a search may choose from.
        projection: how points become an image.
        knn: how pixels give their labels to points.
        normalisation: of the input channels; null means that of the training split.
        cache_mb: memory for scans that training keeps instead of reading them again.
    """

    data: str
    pretraining_data: str | None = None
    label_map: str | None = None
    train_sequences: list[str] | None = None
    val_sequences: list[str] | None = None
    train_subset: SubsetSection | None = None
    val_subset: SubsetSection | None = None
    strict: bool = False
    height: Annotated[int, Field(ge=MIN_HEIGHT, le=MAX_HEIGHT)] | None = None
    widths: Annotated[list[Width], Field(min_length=1)] = [256, 512, 1024, 2048]
    projection: ProjectionSection = ProjectionSection()
    knn: KnnSection = KnnSection()
    normalisation: NormalisationSection | None = None
    cache_mb: Annotated[int, Field(ge=0)] = 2048

    @property
    def subsets(self) -> Mapping[str, Subset]:
        """What splits are restricted to, by name."""
        given = {"train": self.train_subset, "val": self.val_subset}
        return {name: section.subset for name, section in given.items() if section is not None}

    @field_validator("widths")
    @classmethod
    def _ascending(cls, widths: list[int]) -> list[int]:
        repeated = [width for index, width in enumerate(widths) if width in widths[:index]]
        if repeated:
            raise ValueError(f"it holds {repeated[0]} more than once; state each width once")
        return sorted(widths)


def parse_settings(value: Mapping[str, Any]) -> LidarSettings:
    """Turn plain values into settings.

    Raises:
        ConfigError: if a key is unknown (with the nearest name), missing, or its value is wrong.
    """
    try:
        return LidarSettings.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError(problems_of(error, LidarSettings, what="Settings of lidar-segmentation")) from None
