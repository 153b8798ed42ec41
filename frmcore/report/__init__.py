"""Measures and tables about decisions."""
