"""The speed of c2c, as ratios measured in one run: `python -m tests.bench`."""
