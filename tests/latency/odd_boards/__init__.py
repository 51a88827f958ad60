"""Boards that answer what no board may, played as real processes against the real driver."""
