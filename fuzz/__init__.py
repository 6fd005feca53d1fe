"""Fuzzing of everything that reads what others send. See fuzz/README.md."""
