"""How fast segments are prepared, and in how much memory: ``python -m bench``."""
