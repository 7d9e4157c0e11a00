"""What the fuzz tests, ``run.py`` and ``sanitize.sh`` share."""
