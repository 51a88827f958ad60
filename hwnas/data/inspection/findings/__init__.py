"""What is odd about a data set: contents, coordinates, rings, sensor and range image."""
