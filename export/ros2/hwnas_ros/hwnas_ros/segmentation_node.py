"""The executable of the package: `ros2 run hwnas_ros segmentation_node`."""

import sys


def main() -> "int | str":
    """Run the node of hwnas until it is ended; return its exit code, or what is missing."""
    try:
        from hwnas.robotics import ros2_node
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("hwnas", "numpy"):
            raise
        # An ament package runs with the Python that built it, which may not be the one that pip serves.
        return (
            f"{error.name} is missing for {sys.executable}. Install for this interpreter what the node "
            "needs: hwnas (with `pip install --no-deps`), numpy and onnxruntime."
        )
    return ros2_node.main()


if __name__ == "__main__":
    sys.exit(main())
