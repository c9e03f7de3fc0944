"""The Python interface: trained networks on images, and re-activation of any classifier.

``recam.load`` and ``recam.reactivate`` are its two entrances.
"""
