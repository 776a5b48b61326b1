"""Monitoring: what is checked, how, when, by whom, and what follows from it. Its Redis side is `c2c.monitors`."""
