"""The report of a plan: figures, pictures of the heart, and one self-contained page."""
