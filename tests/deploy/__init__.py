"""The files in deploy/, with the programs they are for."""
