"""The command line `ecg-hough`: parses, calls the library and prints; nothing is computed here.

Heavy modules are imported inside the commands, so that `ecg-hough --help` is instant.
"""
