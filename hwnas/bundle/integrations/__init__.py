"""Files that other programs read: Triton, Isaac ROS. Templates live in `export/` of the repository."""
