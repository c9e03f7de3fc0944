"""Code shared by all steps: command line, launch, fit."""
