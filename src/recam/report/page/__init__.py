"""The report for readers: one HTML page of an experiment that needs no other file."""
