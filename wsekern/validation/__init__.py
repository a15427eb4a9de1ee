"""Predictions beside published measurements, with their data."""
