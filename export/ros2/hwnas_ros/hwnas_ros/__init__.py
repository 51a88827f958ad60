"""Labels LiDAR point clouds with a bundle of hwnas."""
