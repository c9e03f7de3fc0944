"""The only room that maps names to things, one catalogue a file: add a line there for a new thing.

There are several files so that a new refiner, say, is no reason to train anything again: a step
depends on the catalogues it uses, not on all of them.
"""
