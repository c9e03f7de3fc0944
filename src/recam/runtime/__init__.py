"""Devices, processes, precision, threads and progress bars."""
