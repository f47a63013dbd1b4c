"""Small files as people really have them, and what must come of each; `tools/corpus.py` runs them."""
