"""What points say about the sensor that took them, and what their rows in an image follow from."""
