"""Files that other programs read: Triton, Isaac ROS, ROS 2. Templates live in `export/` of the repository."""
