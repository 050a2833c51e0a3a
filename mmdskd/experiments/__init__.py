"""Runs over seeds: how they are trained, collected, compared and drawn."""
