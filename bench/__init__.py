"""Benchmarks; see README.md. Not part of the package."""
