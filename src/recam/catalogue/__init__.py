"""Names to code: one dictionary a file. An addition is one line here.

A step depends on the catalogues that it imports, not on all of them, so that a new refiner, say,
trains nothing again.
"""
