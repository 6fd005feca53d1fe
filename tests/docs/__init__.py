"""The documents hold together: what they say to type is typed, what they name exists."""
