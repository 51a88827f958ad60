"""From scan files to points in the frame of the sensor: formats, columns, frames and intensities."""
