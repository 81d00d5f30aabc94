"""Coverage-guided fuzzing of the pure parsers; ``run.py`` is the command."""
