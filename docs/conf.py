"""Sphinx configuration."""

project = "anyws"
author = "the anyws contributors"
copyright = "2026, the anyws contributors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "anyws"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
