"""Installs the package as colcon and ament expect it."""

from pathlib import Path

from setuptools import setup

NAME = "hwnas_ros"
HERE = Path(__file__).parent


def files_in(directory: str) -> list[str]:
    """Return the files of a directory, relative to this one."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / directory).iterdir() if path.is_file())


setup(
    name=NAME,
    version="0.1.0",
    description="Labels LiDAR point clouds with a bundle of hwnas: a lifecycle node.",
    license="Apache-2.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *(
            (f"share/{NAME}/{directory}", files_in(directory))
            for directory in ("launch", "config", "layouts")
        ),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": [f"segmentation_node = {NAME}.segmentation_node:main"]},
)
