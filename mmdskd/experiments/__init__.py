"""Runs over seeds: their logs, results, statistics and reports."""
