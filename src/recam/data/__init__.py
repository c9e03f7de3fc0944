"""The layout of data sets on disk, and the loading of training batches."""
